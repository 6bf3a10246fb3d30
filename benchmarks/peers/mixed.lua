-- wrk's requests of the scenario "mixed": no two alike, most of their lines sent before. See comparison/mixed.py.
local agents = {
  "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
}
local accepts = { "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "*/*", "application/json" }
local number, clients = 0, {}

function init()
  for client = 1, 200 do
    clients[client] = " HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: " .. agents[client % 3 + 1]
      .. "\r\nAccept-Language: en-GB,en;q=0.8,de;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nCookie: session="
      .. string.format("%032x", client * 7919) .. "; theme=light; consent=all\r\nSec-Fetch-Site: same-origin\r\nAccept: "
  end
end

function request()
  number = number + 1
  local page = number * 7 % 500
  local tag = number % 3 == 0 and '\r\nIf-None-Match: "' .. string.format("%08x", page * 65537) .. '"' or ""
  return "GET /mixed/" .. page .. "?visit=" .. number .. clients[number * 31 % 200 + 1] .. accepts[number % 3 + 1]
    .. "\r\nReferer: https://www.example.org/articles/" .. number * 3 % 500 .. tag .. "\r\n\r\n"
end
