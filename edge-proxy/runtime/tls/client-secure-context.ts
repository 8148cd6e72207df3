/**
 * The runtime's TLS context of dialled connections, which is costly: one for all clusters that dial with the same
 * certificate, roots, versions, cipher suites, curves and signature algorithms. SNI and ALPN belong to a connection, and
 * so does the verdict on the peer (names, pins, revocation): none of them is in here.
 */
import { createHash } from 'node:crypto';
import tls from 'node:tls';
import { WeakValues } from '../../weak-values.ts';

export type SecureContextOptions = Pick<
  tls.SecureContextOptions,
  'cert' | 'key' | 'ca' | 'ciphers' | 'ecdhCurve' | 'sigalgs' | 'minVersion' | 'maxVersion'
>;

/** By digest, so that no private key is kept here. */
const contexts = new WeakValues<tls.SecureContext>();

/**
 * Sessions are never kept (`connect` passes none), so that no cluster can resume the session of another.
 * @throws Error of node:tls
 */
export function clientSecureContext(options: SecureContextOptions): tls.SecureContext {
  const { cert, key, ca, ciphers, ecdhCurve, sigalgs, minVersion, maxVersion } = options;
  const made = [cert, key, ca, ciphers, ecdhCurve, sigalgs, minVersion, maxVersion];
  const digest = createHash('sha256').update(JSON.stringify(made)).digest('base64');
  return contexts.get(digest, () => tls.createSecureContext(options));
}
