/**
 * The authority's folder. The files are named as Istio names them, so the `cacerts` of an Istio mesh work as they are:
 * `root-cert.pem`, `ca-cert.pem`, `ca-key.pem`, `cert-chain.pem`. An authority made here also has `root-key.pem`.
 */
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { parseCertificates } from '../../shared/identity/svid.ts';
import { isAuthority } from '../../shared/identity/verify.ts';
import type { X509Certificate } from '../../shared/identity/x509.ts';
import { makePrivateFolder, readIfPresent, writeDurably } from './files.ts';
import {
  createIntermediate,
  createRoot,
  exportIssuerKey,
  type Issuer,
  importIssuerKey,
  keyFits,
} from './key-material.ts';

const names = {
  root: 'root-cert.pem',
  rootKey: 'root-key.pem',
  certificate: 'ca-cert.pem',
  key: 'ca-key.pem',
  chain: 'cert-chain.pem',
} as const;

/** The authority cannot start or sign; the message names the file and the remedy, and fits on one line. */
export class AuthorityError extends Error {
  override name = 'AuthorityError';
}

export interface AuthorityMaterial {
  /** Trust bundle: one root or, plugged in, several. */
  roots: X509Certificate[];
  issuer: Issuer;
  /** The chain sent after a leaf: the issuer and the intermediates below a root, without the root. */
  issuerChain: X509Certificate[];
  /** The root with its key, of an authority made here; it renews its own intermediate. */
  root: Issuer | undefined;
}

/**
 * Opens the authority in `folder`, or makes one when the folder has none.
 * @param now milliseconds since the epoch
 * @throws AuthorityError when files are missing, broken or do not fit together
 */
export async function openMaterial(folder: string, trustDomain: string, now: number): Promise<AuthorityMaterial> {
  await makePrivateFolder(folder);
  const files = await readAll(folder);
  const pluggedIn = files.rootKey === undefined;
  if (pluggedIn && Object.values(files).some((text) => text !== undefined)) return openPluggedIn(folder, files, now);
  return openOwn(folder, files, trustDomain, now);
}

/** The files of a plugged-in authority as they are now. @throws AuthorityError as `openMaterial`; nothing is made or written */
export async function readPluggedIn(folder: string, now: number): Promise<AuthorityMaterial> {
  return openPluggedIn(folder, await readAll(folder), now);
}

/** Whether two authorities trust, issue and send the same. */
export function isSameMaterial(a: AuthorityMaterial, b: AuthorityMaterial): boolean {
  const text = ({ roots, issuer, issuerChain }: AuthorityMaterial) =>
    JSON.stringify([roots.map(pem), pem(issuer.certificate), issuerChain.map(pem)]);
  return text(a) === text(b);
}

/** A fresh intermediate under an own root, on disk when the promise resolves. */
export async function renewIntermediate(
  folder: string,
  root: Issuer,
  trustDomain: string,
  now: number,
): Promise<AuthorityMaterial> {
  const issuer = await createIntermediate(root, trustDomain, now);
  const certificate = pem(issuer.certificate);
  // A crash between these leaves a mismatched pair; the next start detects it and makes another.
  await writeDurably(join(folder, names.key), await exportIssuerKey(issuer.key));
  await writeDurably(join(folder, names.certificate), certificate, 0o644);
  await writeDurably(join(folder, names.chain), certificate + pem(root.certificate), 0o644);
  return { roots: [root.certificate], issuer, issuerChain: [issuer.certificate], root };
}

type FileTexts = Record<keyof typeof names, string | undefined>;

async function readAll(folder: string): Promise<FileTexts> {
  const entries = Object.entries(names).map(async ([key, name]) => [key, await readIfPresent(join(folder, name))]);
  return Object.fromEntries(await Promise.all(entries)) as FileTexts;
}

async function openOwn(folder: string, files: FileTexts, trustDomain: string, now: number): Promise<AuthorityMaterial> {
  if (files.rootKey === undefined || files.root === undefined) {
    if (files.certificate !== undefined || files.key !== undefined) {
      throw new AuthorityError(`${join(folder, names.root)} is missing: restore it, or remove ${names.rootKey} too`);
    }
    // A crash during the first start leaves a key without its certificate; nothing was issued under it.
    const root = await createRoot(trustDomain, now);
    await writeDurably(join(folder, names.rootKey), await exportIssuerKey(root.key));
    await writeDurably(join(folder, names.root), pem(root.certificate), 0o644);
    return renewIntermediate(folder, root, trustDomain, now);
  }
  await chmod(join(folder, names.rootKey), 0o600);
  const root = await readRoot(folder, { certificate: files.root, key: files.rootKey }, now);
  const intermediate = await usableIntermediate(folder, files, root, now);
  return intermediate ?? renewIntermediate(folder, root, trustDomain, now);
}

/**
 * Opens the intermediate in `folder` that `root` has signed, or makes one: the root's key is kept elsewhere.
 * @param now milliseconds since the epoch
 */
export async function openIntermediate(
  folder: string,
  root: Issuer,
  trustDomain: string,
  now: number,
): Promise<AuthorityMaterial> {
  await makePrivateFolder(folder);
  const intermediate = await usableIntermediate(folder, await readAll(folder), root, now);
  return intermediate ?? renewIntermediate(folder, root, trustDomain, now);
}

/**
 * A root and its key from PEM.
 * @param place named in errors
 * @throws AuthorityError: they are broken, expired or do not fit together
 */
export async function readRoot(
  place: string,
  texts: { certificate: string; key: string },
  now: number,
): Promise<Issuer> {
  const certificate = single(place, names.root, texts.certificate);
  checkAuthority(place, names.root, certificate, now);
  return { certificate, key: await readKey(place, names.rootKey, texts.key, certificate, names.root) };
}

/** The stored intermediate, or undefined when a new one is due: it may be replaced at any time. */
async function usableIntermediate(
  folder: string,
  files: FileTexts,
  root: Issuer,
  now: number,
): Promise<AuthorityMaterial | undefined> {
  if (files.certificate === undefined || files.key === undefined) return undefined;
  try {
    await chmod(join(folder, names.key), 0o600);
    const certificate = single(folder, names.certificate, files.certificate);
    checkAuthority(folder, names.certificate, certificate, now);
    if (!(await signedBy(certificate, root.certificate))) return undefined;
    const key = await readKey(folder, names.key, files.key, certificate, names.certificate);
    return { roots: [root.certificate], issuer: { certificate, key }, issuerChain: [certificate], root };
  } catch (error) {
    if (error instanceof AuthorityError) return undefined;
    throw error;
  }
}

async function openPluggedIn(folder: string, files: FileTexts, now: number): Promise<AuthorityMaterial> {
  const required = (key: 'root' | 'certificate' | 'key'): string => {
    const text = files[key];
    if (text !== undefined) return text;
    throw new AuthorityError(
      `${join(folder, names[key])} is missing: a plugged-in authority needs ${names.root}, ${names.certificate} and ${names.key}`,
    );
  };
  const roots = certificates(folder, names.root, required('root'));
  const certificate = single(folder, names.certificate, required('certificate'));
  const keyText = required('key');
  for (const root of roots) checkAuthority(folder, names.root, root, now);
  checkAuthority(folder, names.certificate, certificate, now);
  const key = await readKey(folder, names.key, keyText, certificate, names.certificate);
  const between = files.chain === undefined ? [] : certificates(folder, names.chain, files.chain);
  const issuerChain = await chainToRoot(folder, certificate, between, roots, now);
  return { roots, issuer: { certificate, key }, issuerChain, root: undefined };
}

/** The certificates from the issuer up to, not including, a root. Empty when the issuer is itself a root. */
async function chainToRoot(
  folder: string,
  certificate: X509Certificate,
  between: X509Certificate[],
  roots: X509Certificate[],
  now: number,
): Promise<X509Certificate[]> {
  const isRoot = (one: X509Certificate): boolean => roots.some((root) => pem(root) === pem(one));
  const chain: X509Certificate[] = [];
  for (let current = certificate; !isRoot(current); ) {
    chain.push(current);
    if (await anySigner(current, roots)) return chain;
    const rest = between.filter((one) => !chain.some((known) => pem(known) === pem(one)));
    const next = await anySigner(current, rest);
    if (!next) {
      throw new AuthorityError(
        `${join(folder, names.certificate)} does not chain to ${names.root}: "${current.issuer}", which signed "${current.subject}", is neither in ${names.root} nor in ${names.chain}`,
      );
    }
    checkAuthority(folder, names.chain, next, now);
    current = next;
  }
  return chain;
}

async function anySigner(child: X509Certificate, issuers: X509Certificate[]): Promise<X509Certificate | undefined> {
  for (const issuer of issuers) if (await signedBy(child, issuer)) return issuer;
  return undefined;
}

async function signedBy(child: X509Certificate, issuer: X509Certificate): Promise<boolean> {
  if (child.issuer !== issuer.subject) return false;
  return child.verify({ publicKey: issuer, signatureOnly: true }).catch(() => false);
}

function checkAuthority(folder: string, name: string, certificate: X509Certificate, now: number): void {
  const violation = authorityViolation(certificate, now);
  if (violation) throw new AuthorityError(`${join(folder, name)}: certificate "${certificate.subject}" ${violation}`);
}

function authorityViolation(certificate: X509Certificate, now: number): string | undefined {
  if (!isAuthority(certificate)) return 'is not a CA (basicConstraints CA:TRUE and keyUsage keyCertSign are needed)';
  if (now < certificate.notBefore.getTime())
    return `is not valid before ${certificate.notBefore.toISOString()}, this machine's clock is at ${new Date(now).toISOString()}`;
  if (now >= certificate.notAfter.getTime())
    return `expired at ${certificate.notAfter.toISOString()}, this machine's clock is at ${new Date(now).toISOString()}`;
  return undefined;
}

async function readKey(folder: string, name: string, text: string, certificate: X509Certificate, of: string) {
  const path = join(folder, name);
  const key = await importIssuerKey(text).catch((error: Error) => {
    throw new AuthorityError(`${path} ${error.message}`);
  });
  if (!keyFits(certificate, text)) throw new AuthorityError(`${path} is not the key of ${join(folder, of)}`);
  return key;
}

function certificates(folder: string, name: string, text: string): X509Certificate[] {
  try {
    return parseCertificates(text);
  } catch (error) {
    throw new AuthorityError(`${join(folder, name)}: ${(error as Error).message}`);
  }
}

/** The first certificate of a file; `ca-cert.pem` may carry its chain behind it. */
function single(folder: string, name: string, text: string): X509Certificate {
  return certificates(folder, name, text)[0]!;
}

/** PEM with a final newline, so that files can be joined. */
export const pem = (certificate: X509Certificate): string => `${certificate.toString('pem').trim()}\n`;
