/**
 * The ALPN protocols (RFC 7301) of a TLS context by what is spoken on the connection. `istio` names among them say what a
 * connection of the mesh carries; they choose filter chains and name no wire format.
 */
import type { TlsContext } from '../../runtime/runtime.ts';
import type { TlsPurpose } from '../../upstream/cluster.ts';

const HTTP1: ReadonlySet<string> = new Set(['http/1.0', 'http/1.1', 'istio-http/1.0', 'istio-http/1.1']);
const HTTP2: ReadonlySet<string> = new Set(['h2', 'istio-h2']);
/** Where the context names none. HTTP/2 over TLS is always agreed on (RFC 9113 section 3.2). */
const DEFAULTS: Readonly<Record<TlsPurpose, readonly string[]>> = {
  http1: [],
  http2: ['h2'],
  alpn: ['h2', 'http/1.1'],
  raw: [],
};

/**
 * What a client offers: of the configured protocols those that the connection can speak.
 * @param configured where none of them can be spoken, all are offered, as Envoy does
 */
export function clientProtocols(configured: readonly string[], purpose: TlsPurpose): readonly string[] {
  if (configured.length === 0) return DEFAULTS[purpose];
  const spoken = configured.filter((name) => canSpeak(name, purpose));
  return spoken.length > 0 ? spoken : configured;
}

/** What a server agrees to: never what is not served. With `raw` the configured ones hold. */
export function serverProtocols(configured: readonly string[], spoken: TlsPurpose): readonly string[] {
  return spoken === 'raw' ? configured : configured.filter((name) => canSpeak(name, spoken));
}

function canSpeak(name: string, purpose: TlsPurpose): boolean {
  if (HTTP1.has(name)) return purpose === 'http1' || purpose === 'alpn';
  if (HTTP2.has(name)) return purpose === 'http2' || purpose === 'alpn';
  return true;
}

/**
 * The contexts of a client. That of the configured protocols is made at once, so that violations are found; the others, which
 * differ in nothing else, when they are first asked for.
 */
export function byPurpose(
  configured: readonly string[],
  offering: (alpn: readonly string[], isFirst: boolean) => () => TlsContext,
): (purpose: TlsPurpose) => TlsContext {
  const first = offering(configured, true);
  const made: Partial<Record<TlsPurpose, () => TlsContext>> = {};
  return (purpose) => {
    let current = made[purpose];
    if (current === undefined) {
      const alpn = clientProtocols(configured, purpose);
      current = made[purpose] = alpn.length === configured.length ? first : offering(alpn, false);
    }
    return current();
  };
}
