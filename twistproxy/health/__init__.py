"""Whether upstreams are well."""
