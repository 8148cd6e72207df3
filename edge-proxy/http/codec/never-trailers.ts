/** What may not come behind a body (RFC 9110 section 6.5.1): framing, routing, identity. It is dropped from trailers. */
export const neverTrailers: ReadonlySet<string> = new Set(
  (
    'host trailer te authorization proxy-authorization cookie ' +
    'set-cookie content-encoding content-type content-range cache-control expect max-forwards range ' +
    'x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-client-cert x-request-id'
  ).split(' '),
);
