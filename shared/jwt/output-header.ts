/** Headers that may be written from tokens. */

/** A field name of RFC 9110 section 5.1. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** They frame the message or say where it goes: written from a claim they would change what the next hop reads. */
const NEVER: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Why a header cannot be written from a token; undefined: it can. */
export function outputHeaderProblem(name: string): string | undefined {
  if (!NAME.test(name)) return 'must be a header name';
  return NEVER.has(name.toLowerCase()) ? 'cannot be a header that frames the message or names its host' : undefined;
}
