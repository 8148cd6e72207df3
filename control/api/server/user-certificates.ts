/**
 * Client certificates of users, as kube-apiserver takes them (`--client-ca-file`;
 * https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates): the common name is the user, the
 * organizations are the groups. They are separate from the certificates of workloads: one with a SPIFFE id is never a user's, and the
 * CAs of users are none of the mesh's.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  type CertificateFacts,
  decodeCertificates,
  readCertificate,
  serialHex,
} from '../../../shared/identity/certificate.ts';
import { ChainError, mayIssue } from '../../../shared/identity/chain-path.ts';
import { readSubject } from '../../../shared/identity/subject.ts';
import type { Validity } from '../../../shared/identity/verify.ts';
import type { Log } from '../../../shared/log/log.ts';
import type { User } from '../../access/user.ts';
import { verifyClientPath } from './client-chain.ts';
import { RevokedCertificates } from './revoked-certificates.ts';

export interface UserCertificateFiles {
  /** PEM of the CAs. */
  readonly caFile: string;
  /** PEM of their revocation lists. Default: no certificate is revoked. */
  readonly crlFile?: string;
}

/** Whom a connection belongs to whose client presented a certificate of a user. */
export interface UserCertificate extends Validity {
  readonly user: User;
  readonly chain: readonly Uint8Array[];
  /** Leaf first, the CA last. */
  readonly path: readonly CertificateFacts[];
  /** The state of the files that it was verified with. */
  readonly generation: number;
}

export interface UserCertificatesOptions {
  readonly files: UserCertificateFiles;
  /** Public keys (SubjectPublicKeyInfo, DER) of the CAs of the mesh. */
  readonly meshKeys: () => readonly Uint8Array[];
  readonly log: Log;
}

interface Trusted {
  readonly pem: string;
  readonly crlPem: string;
  readonly cas: readonly { readonly rawData: ArrayBuffer }[];
  readonly revoked: RevokedCertificates;
}

/** Between two looks at the files. */
const CHECK_MS = 60_000;
const MAX_TEXT = 16 * 1024 * 1024;

export class UserCertificates {
  readonly #options: UserCertificatesOptions;
  #trusted: Trusted;
  #generation = 0;
  #failure: string | undefined;
  readonly #timer: NodeJS.Timeout;
  /** Runs after the CAs have changed. */
  onChange: () => void = () => {};

  private constructor(options: UserCertificatesOptions, trusted: Trusted) {
    this.#options = options;
    this.#trusted = trusted;
    this.#timer = setInterval(() => void this.reload(), CHECK_MS);
    this.#timer.unref();
  }

  /** @throws Error naming the flag, the file and what is wrong with it */
  static async open(options: UserCertificatesOptions): Promise<UserCertificates> {
    return new UserCertificates(options, await load(options));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Of the CAs. */
  get pem(): string {
    return this.#trusted.pem;
  }

  /** Reads the files again. Where they are broken, what was read before stays in force, and the log has the reason. */
  async reload(): Promise<void> {
    try {
      const next = await load(this.#options, this.#trusted);
      this.#failure = undefined;
      if (next === this.#trusted) return;
      this.#trusted = next;
      this.#generation++;
      this.onChange();
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#failure) this.#options.log(`${message}; what it held before stays in force`, 'error');
      this.#failure = message;
    }
  }

  /**
   * @param chain as the client sent it, DER, leaf first
   * @param nowMs milliseconds since the epoch
   * @throws ChainError
   */
  verify(chain: readonly Uint8Array[], nowMs: number): UserCertificate {
    const path = verifyClientPath(chain, { roots: this.#trusted.cas, intermediates: [] }, nowMs);
    const [leaf] = path;
    const { commonName, organizations } = subjectOf(leaf!);
    if (commonName === '') throw new ChainError('malformed', 'certificate of a user has no common name');
    const fingerprint = createHash('sha256').update(chain[0]!).digest('hex');
    return {
      user: {
        name: commonName,
        groups: organizations,
        extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${fingerprint}`] },
      },
      chain,
      path,
      generation: this.#generation,
      notBefore: leaf!.notBefore,
      notAfter: Math.min(...path.map(({ notAfter }) => notAfter)),
    };
  }

  /** Why requests of a connection that was verified before are refused now; undefined: they are not. */
  refusal(certificate: UserCertificate, nowMs: number): string | undefined {
    if (certificate.generation !== this.#generation) {
      try {
        Object.assign(certificate, { generation: this.verify(certificate.chain, nowMs).generation });
      } catch (error) {
        return `the client certificate is not trusted any more: ${(error as Error).message}`;
      }
    }
    return this.#trusted.revoked.refusal(certificate.path, nowMs);
  }
}

/** A leaf that names a workload is judged as such a one alone. */
export function namesWorkload(leaf: Uint8Array): boolean {
  return readLeaf(leaf).uris.some((uri) => /^spiffe:/i.test(uri));
}

function readLeaf(der: Uint8Array): CertificateFacts {
  try {
    return readCertificate(der);
  } catch (error) {
    throw new ChainError('malformed', `certificate cannot be parsed: ${(error as Error).message}`);
  }
}

function subjectOf({ subjectName }: CertificateFacts) {
  try {
    return readSubject(subjectName);
  } catch (error) {
    throw new ChainError('malformed', `subject of a certificate cannot be read: ${(error as Error).message}`);
  }
}

/** @returns `before` where the files are the same */
async function load({ files, meshKeys }: UserCertificatesOptions, before?: Trusted): Promise<Trusted> {
  const { caFile, crlFile } = files;
  const pem = await textOf('--client-ca-file', caFile);
  const crlPem = crlFile === undefined ? '' : await textOf('--client-crl-file', crlFile);
  if (before && pem === before.pem && crlPem === before.crlPem) return before;
  const cas = ofFlag('--client-ca-file', caFile, () => readCas(pem, meshKeys()));
  const revoked = await RevokedCertificates.read(crlPem, cas).catch((error) => {
    throw new Error(`--client-crl-file ${crlFile}: ${(error as Error).message}`, { cause: error });
  });
  return { pem, crlPem, cas: cas.map((der) => ({ rawData: der.buffer })), revoked };
}

function readCas(pem: string, meshKeys: readonly Uint8Array[]): Uint8Array<ArrayBuffer>[] {
  const cas = decodeCertificates(pem);
  for (const ca of cas) {
    const facts = readCertificate(ca);
    if (!mayIssue(facts)) throw new Error(`certificate ${serialHex(facts)} is not one of a CA`);
    if (meshKeys.some((key) => Buffer.compare(key, facts.publicKey) === 0))
      throw new Error(`certificate ${serialHex(facts)} is a CA of the mesh, which signs certificates of workloads`);
  }
  return cas;
}

function ofFlag<T>(flag: string, file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${flag} ${file}: ${(error as Error).message}`, { cause: error });
  }
}

async function textOf(flag: string, file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`${flag} ${file}: ${(error as Error).message}`, { cause: error });
  }
  if (text.length > MAX_TEXT) throw new Error(`${flag} ${file}: is larger than ${MAX_TEXT} bytes`);
  return text;
}
