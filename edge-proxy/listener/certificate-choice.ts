/**
 * Which of a TLS context's certificates a client is shown: as Envoy chooses, by server name and by what the client can
 * verify (envoyproxy.io, "Certificate selection"). Chosen here, so that every runtime shows the same one.
 */
import type { OwnCertificate, TlsContext } from '../runtime/runtime.ts';
import { type KeyOffers, readKeyOffers } from './client-hello.ts';

/** One context per certificate, in the order of configuration; they differ in nothing else. */
export interface CertifiedContext {
  readonly certificate: OwnCertificate;
  readonly context: TlsContext;
}

export interface ChoiceOptions {
  /** Where no certificate has the name requested, all are looked through; else the first is shown. */
  readonly fullScan: boolean;
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL names of TLS 1.2; empty: the usual ones. */
  readonly cipherSuites: readonly string[];
}

/** @param firstBytes with the whole ClientHello @returns undefined where it cannot be read */
export type CertificateChoice = (firstBytes: Uint8Array) => TlsContext | undefined;

type Curve = 'P-256' | 'P-384' | 'P-521';
type ByKey = { ecdsa?: CertifiedContext; rsa?: CertifiedContext };

/** As groups, and as signature algorithms of TLS 1.3, which mean one curve each. */
const CURVES: ReadonlyMap<number, Curve> = new Map([
  [0x0017, 'P-256'],
  [0x0018, 'P-384'],
  [0x0019, 'P-521'],
  [0x0403, 'P-256'],
  [0x0503, 'P-384'],
  [0x0603, 'P-521'],
] as const);

/** Suites of TLS 1.2 that are signed with ECDSA. */
const ECDSA_SUITES: ReadonlyMap<string, number> = new Map([
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 0xc02b],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 0xc02c],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', 0xcca9],
  ['ECDHE-ECDSA-AES128-SHA', 0xc009],
  ['ECDHE-ECDSA-AES256-SHA', 0xc00a],
]);
const USUAL_SUITES = [0xc02b, 0xc02c, 0xcca9];

/** @param contexts at least one @throws Error when the certificates cannot be distinguished by what clients say */
export function chooseCertificate(contexts: readonly CertifiedContext[], options: ChoiceOptions): CertificateChoice {
  const [first] = contexts;
  if (!first) throw new Error('TLS: a server needs a certificate');
  if (contexts.length === 1) return () => first.context;
  if (contexts.some(({ certificate }) => certificate.key === 'other'))
    throw new Error('TLS: of several certificates each needs an RSA key or one of the curves P-256, P-384, P-521');
  const names = byName(contexts);
  const suites = ecdsaSuites(options.cipherSuites);
  return (firstBytes) => {
    const offers = readKeyOffers(firstBytes);
    if (!offers) return undefined;
    const curves = curvesOf(offers, suites, options.maxVersion);
    const named = offers.serverName && find(names, offers.serverName, curves);
    if (named) return named.context;
    if (offers.serverName && !options.fullScan) return first.context;
    return (best(contexts, curves) ?? first).context;
  };
}

/** Where certificates have a name and kind of key in common, the earlier one counts. */
function byName(contexts: readonly CertifiedContext[]): Map<string, ByKey> {
  const names = new Map<string, ByKey>();
  for (const each of contexts)
    for (const name of each.certificate.serverNames) {
      const pattern = name.startsWith('*.') ? name.slice(1) : name;
      const found = names.get(pattern) ?? {};
      if (each.certificate.key === 'RSA') found.rsa ??= each;
      else found.ecdsa ??= each;
      names.set(pattern, found);
    }
  return names;
}

/** The name itself, then `.example.com` for `www.example.com`. */
function find(
  names: ReadonlyMap<string, ByKey>,
  serverName: string,
  curves: ReadonlySet<Curve>,
): CertifiedContext | undefined {
  const dot = serverName.indexOf('.', 1);
  for (const name of dot < 0 || dot === serverName.length - 1 ? [serverName] : [serverName, serverName.slice(dot)]) {
    const { ecdsa, rsa } = names.get(name) ?? {};
    const found = best(
      [ecdsa, rsa].filter((one) => one !== undefined),
      curves,
    );
    if (found) return found;
  }
  return undefined;
}

/** ECDSA for clients that can verify it on the certificate's curve, RSA for the others. */
function best(contexts: readonly CertifiedContext[], curves: ReadonlySet<Curve>): CertifiedContext | undefined {
  return (
    contexts.find(({ certificate: { key } }) => key !== 'RSA' && key !== 'other' && curves.has(key)) ??
    contexts.find(({ certificate: { key } }) => key === 'RSA')
  );
}

/** The curves on which a client can verify ECDSA certificates; none: it cannot. */
function curvesOf(
  { listsVersions, signatureAlgorithms, groups, cipherSuites }: KeyOffers,
  suites: ReadonlySet<number>,
  maxVersion: ChoiceOptions['maxVersion'],
): ReadonlySet<Curve> {
  const curves = (points: readonly number[]) =>
    new Set(points.map((point) => CURVES.get(point)).filter((curve) => curve !== undefined));
  if (listsVersions && maxVersion === 'TLSv1.3') return curves(signatureAlgorithms);
  return cipherSuites.some((suite) => suites.has(suite)) ? curves(groups) : new Set();
}

function ecdsaSuites(configured: readonly string[]): ReadonlySet<number> {
  if (configured.length === 0) return new Set(USUAL_SUITES);
  return new Set(configured.map((name) => ECDSA_SUITES.get(name)).filter((suite) => suite !== undefined));
}
