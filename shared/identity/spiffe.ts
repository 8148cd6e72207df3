/**
 * SPIFFE ids: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md, and the form Istio gives a workload,
 * `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
 */

/** Section 2.3: at most 2048 bytes in all, 255 of them the trust domain (every permitted character is one byte). */
const MAX_LENGTH = 2048;
const MAX_TRUST_DOMAIN = 255;
const SCHEME = 'spiffe://';
const TRUST_DOMAIN = /^[a-z0-9._-]+$/;
const SEGMENT = /^[A-Za-z0-9._-]+$/;

export class SpiffeIdError extends Error {
  override name = 'SpiffeIdError';
}

export interface SpiffeId {
  readonly trustDomain: string;
  /** '' for the id of a trust domain itself, else begins with `/`. */
  readonly path: string;
}

/** The identity of a workload: what Istio calls its principal, taken apart. */
export interface WorkloadIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** @throws SpiffeIdError unless `name` is lower case letters, digits, `.`, `-` and `_`, at most 255 */
export function checkTrustDomain(name: string): string {
  if (name.length > MAX_TRUST_DOMAIN) throw new SpiffeIdError('trust domain is longer than 255 bytes');
  if (!TRUST_DOMAIN.test(name)) {
    throw new SpiffeIdError(
      `trust domain ${JSON.stringify(name)} must be lower case letters, digits, ".", "-" and "_" only`,
    );
  }
  return name;
}

/**
 * Strict: no upper-case scheme, port, user, query, fragment, percent-encoding, empty or dot segment, trailing slash.
 * @throws SpiffeIdError
 */
export function parseSpiffeId(text: string): SpiffeId {
  if (text.length > MAX_LENGTH) throw new SpiffeIdError('SPIFFE id is longer than 2048 bytes');
  if (!text.startsWith(SCHEME)) throw new SpiffeIdError(`SPIFFE id ${quote(text)} must begin with "spiffe://"`);
  const slash = text.indexOf('/', SCHEME.length);
  const trustDomain = checkTrustDomain(slash < 0 ? text.slice(SCHEME.length) : text.slice(SCHEME.length, slash));
  const path = slash < 0 ? '' : text.slice(slash);
  if (path !== '') for (const segment of path.slice(1).split('/')) checkSegment(segment, text);
  return { trustDomain, path };
}

function checkSegment(segment: string, text: string): void {
  if (segment === '' || segment === '.' || segment === '..' || !SEGMENT.test(segment)) {
    throw new SpiffeIdError(
      `SPIFFE id ${quote(text)}: a path segment must be letters, digits, ".", "-" and "_", and neither "." nor ".."`,
    );
  }
}

/** Takes a workload's id apart. @throws SpiffeIdError unless it has exactly the form `/ns/<ns>/sa/<sa>` */
export function parseWorkloadId(text: string): WorkloadIdentity {
  const { trustDomain, path } = parseSpiffeId(text);
  const [, ns, namespace, sa, serviceAccount, ...rest] = path.split('/');
  if (ns !== 'ns' || sa !== 'sa' || !namespace || !serviceAccount || rest.length > 0) {
    throw new SpiffeIdError(
      `SPIFFE id ${quote(text)} must have the form spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT`,
    );
  }
  return { trustDomain, namespace, serviceAccount };
}

/** @throws SpiffeIdError when a part has characters an id cannot hold */
export function formatWorkloadId(identity: WorkloadIdentity): string {
  const { trustDomain, namespace, serviceAccount } = identity;
  const text = `${SCHEME}${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
  parseWorkloadId(text);
  return text;
}

/** Untrusted text in an error: escaped and cut. */
function quote(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}
