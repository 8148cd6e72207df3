/** Header fields that frame a message or belong to one connection (RFC 9110 section 7.6.1, RFC 9112 section 6). */

/** Lower case. Each hop writes them itself: nothing that a peer, a token or another service says may set them. */
export const FRAMING_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
