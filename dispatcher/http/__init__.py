"""The ingress over HTTP: completions and wakes from programs that speak neither Celery nor Redis. `wake web` runs it.

    serve            the socket, the server, its time-outs
    protocol         what a connection may do before there is a request
    app              routes, and what every request goes through
    authentication   bearer tokens, and a limit on refused ones
    bodies           a request's body, bounded in size and time
    submitting       one completion, a batch, a wake
    fates            where a completion is, and waiting for its end
    store_calls      the bounded way to the store, off the event loop
    problems         errors as problem details (RFC 9457)
    values, openapi  what is answered, and the document that says so

Needs the extra `http`. docs/http.md is its manual.
"""
