/**
 * Certificates and trust roots by SDS name, and the TLS contexts made of them. A context is handed out as a function:
 * each dial and accept reads the current one, so a rotation reaches new connections at once and leaves old ones be.
 */

import type { z } from 'zod';
import type { DataSource } from '../../../shared/xds/core.ts';
import type {
  CertificateValidationContext,
  CommonTlsContext,
  DownstreamTlsContext,
  Secret,
  TlsCertificate,
  UpstreamTlsContext,
} from '../../../shared/xds/tls.ts';
import { type CertificateChoice, type CertifiedContext, chooseCertificate } from '../../listener/certificate-choice.ts';
import type { KeyPair, PeerTrust, Runtime, TlsContext } from '../../runtime/runtime.ts';
import type { TlsPurpose } from '../../upstream/cluster.ts';
import { WeakValues } from '../../weak-values.ts';
import type { AskedPeer } from '../cluster/compile-auto-tls.ts';
import { byPurpose, serverProtocols } from './alpn.ts';
import { chosen, tlsVersions } from './tls-params.ts';
import { alsoNamed, mergeValidation, namesOf, onlyNamed, refuseValidation, trustOf } from './validation-context.ts';

type Source = z.infer<typeof DataSource>;

interface Held {
  /** Its files are read again when they change, so the pair is taken from it at each use. */
  readonly certificate: TlsCertificate | undefined;
  readonly validation: CertificateValidationContext | undefined;
}

/** What one context is made of at a moment; equal parts mean the context is still the right one. */
interface Parts {
  readonly keyPairs: readonly KeyPair[];
  readonly roots: string | undefined;
  /** Of the secret; the rules of the configuration itself do not change. */
  readonly fetched: CertificateValidationContext | undefined;
  readonly trust: PeerTrust;
}

/** Of a certificate that is not distinguished from others. */
const UNNAMED = { serverNames: [], key: 'other' } as const;
/** The context that a connection is dialled with, by what it is for. */
export type ClientTls = (purpose: TlsPurpose) => TlsContext;

const UNREADY: TlsContext = { kind: 'client', unready: 'TLS: the certificates to dial with have not arrived' };

export class Secrets {
  private readonly runtime: Runtime;
  private readonly warn: (line: string) => void;
  private readonly byName = new Map<string, Held>();
  private readonly fileTexts = new Map<string, string>();
  private readonly watches = new Map<string, () => void>();
  private readonly changed = new Set<string>();
  /** By everything that `client` makes them of: an update of a cluster keeps its context, and so its connections. */
  private readonly clients = new WeakValues<() => TlsContext>();
  private reloading: Promise<void> | undefined;
  /** Counts changes; a context made in an older one is looked at again. */
  private generation = 0;

  constructor(runtime: Runtime, warn: (line: string) => void) {
    this.runtime = runtime;
    this.warn = warn;
  }

  /**
   * Takes a secret, or the next one of its name. The identity manager sets `default` and `ROOTCA` this way.
   * @throws Error when key and certificate do not fit or roots cannot be read; the secret before stays
   */
  set(secret: Secret): void {
    if ((secret.tlsCertificate ? 1 : 0) + (secret.validationContext ? 1 : 0) !== 1)
      throw new Error('secret: needs exactly one of tlsCertificate and validationContext');
    const held: Held = {
      certificate: secret.tlsCertificate,
      validation: secret.validationContext,
    };
    this.check(held);
    const before = this.byName.get(secret.name);
    // What is made of an equal secret stays in use.
    if (before && JSON.stringify(before) === JSON.stringify(held)) return;
    this.byName.set(secret.name, held);
    this.generation++;
  }

  remove(name: string): void {
    if (this.byName.delete(name)) this.generation++;
  }

  /** PEM of every secret by name, keys left out. */
  held(): { name: string; chain: string | undefined; roots: string | undefined }[] {
    return [...this.byName].map(([name, { certificate, validation }]) => ({
      name,
      chain: certificate?.certificateChain && this.text(certificate.certificateChain),
      roots: validation?.trustedCa && this.text(validation.trustedCa),
    }));
  }

  names(): string[] {
    return [...this.byName.keys()];
  }

  /** Reads every file that a parsed resource names, and watches its folder. @throws Error naming a missing file */
  async load(resource: object): Promise<void> {
    const found: [string, string | undefined][] = [];
    findFiles(resource, undefined, found);
    for (const [path, folder] of found) {
      // Watched before it is read: a change in between is seen.
      this.watch(folder ?? folderOf(path));
      if (!this.fileTexts.has(path)) await this.readFile(path);
    }
  }

  close(): void {
    for (const stop of this.watches.values()) stop();
    this.watches.clear();
  }

  /**
   * @param spoken what is served on the connections: protocols that cannot be are not agreed to
   * @returns by the ClientHello; undefined while a secret it names has not arrived
   * @throws Error when a field is not supported or inline material is invalid
   */
  server(context: DownstreamTlsContext, spoken: TlsPurpose): CertificateChoice {
    const common = context.commonTlsContext ?? {};
    if (ownCertificates(common) === 0) throw new Error('TLS: a server context needs a certificate');
    const versions = tlsVersions(common);
    const parameters = chosen(common);
    const alpn = serverProtocols(common.alpnProtocols ?? [], spoken);
    const current = this.follow(common, (parts) => {
      const contexts = parts.keyPairs.map((keyPair): CertifiedContext => {
        const made = this.runtime.serverTls({
          keyPair,
          trustedRoots: parts.roots,
          requireClientCertificate: context.requireClientCertificate ?? false,
          alpn,
          ...versions,
          ...parameters,
          ...parts.trust,
        });
        return { certificate: made.certificate ?? UNNAMED, context: made };
      });
      const fullScan = context.fullScanCertsOnSniMismatch ?? false;
      return chooseCertificate(contexts, { fullScan, ...versions, cipherSuites: parameters.cipherSuites });
    });
    return (firstBytes) => current()?.(firstBytes);
  }

  /**
   * As `server`, for dialling; while a secret is missing the context refuses to dial.
   * @param hostname of the endpoint where it is known, for autoHostSni
   * @param asked what the request says of its peer
   * @returns by what the connection is for: the ALPN protocols offered are those that can be spoken on it
   */
  client(context: UpstreamTlsContext, hostname = '', asked?: AskedPeer): ClientTls {
    if (context.allowRenegotiation) throw new Error('TLS: allowRenegotiation is not supported');
    const serverName = asked?.serverName ?? ((context.autoHostSni && hostname) || context.sni || undefined);
    // Envoy: the SNI that is sent takes the place of the configured names.
    const validates = context.autoSniSanValidation === true && serverName !== undefined;
    const common = context.commonTlsContext ?? {};
    const versions = tlsVersions(common);
    if (ownCertificates(common) > 1) throw new Error('TLS: a client context can have one certificate');
    const mustName = asked?.mustName;
    const offering = (alpn: readonly string[], isFirst: boolean) =>
      this.clients.get(JSON.stringify([common, serverName, alpn, validates, mustName]), () => {
        const make = (parts: Parts) =>
          this.runtime.clientTls({
            keyPair: parts.keyPairs[0],
            trustedRoots: parts.roots,
            serverName,
            alpn,
            ...versions,
            ...chosen(common),
            ...alsoNamed(onlyNamed(parts.trust, validates ? serverName : undefined), mustName),
          });
        const current = isFirst && asked === undefined ? this.follow(common, make) : this.followLater(common, make, {});
        // Dialling without a context would be plaintext.
        return () => current() ?? UNREADY;
      });
    return byPurpose(common.alpnProtocols ?? [], offering);
  }

  /** Makes the context now (so that violations are found at once) and again whenever its parts have changed. */
  private follow<Made>(common: CommonTlsContext, make: (parts: Parts) => Made | undefined): () => Made | undefined {
    refuseUnsupported(common);
    const parts = this.parts(common);
    return this.followLater(common, make, { generation: this.generation, parts, context: parts && make(parts) });
  }

  /**
   * As `follow`, where the context is needed first while requests are served: one that cannot be made is reported, and
   * there is none.
   * @param from what was made before, of the secrets of a generation; empty: nothing
   */
  private followLater<Made>(
    common: CommonTlsContext,
    make: (parts: Parts) => Made | undefined,
    from: { generation?: number; parts?: Parts | undefined; context?: Made | undefined },
  ): () => Made | undefined {
    let { generation: seen, parts, context } = from;
    return () => {
      if (seen === this.generation) return context;
      seen = this.generation;
      try {
        const next = this.parts(common);
        if (next && parts && sameParts(next, parts)) return context;
        // A secret that was taken away closes the door; an invalid one was refused before it came here.
        context = next && make(next);
        parts = next;
      } catch (error) {
        const outcome = context === undefined ? 'there is no context' : 'keeping the last good certificates';
        this.warn(`TLS: ${outcome}: ${(error as Error).message}`);
      }
      return context;
    };
  }

  /** @returns undefined while a named secret is missing */
  private parts(common: CommonTlsContext): Parts | undefined {
    const certificates = (common.tlsCertificateSdsSecretConfigs ?? []).map(
      ({ name }) => this.byName.get(name)?.certificate,
    );
    certificates.push(...(common.tlsCertificates ?? []));
    if (certificates.includes(undefined)) return undefined;
    const keyPairs = certificates.map((certificate) => this.keyPair(certificate!));
    const own = common.validationContext ?? common.combinedValidationContext?.defaultValidationContext;
    const sds =
      common.validationContextSdsSecretConfig ?? common.combinedValidationContext?.validationContextSdsSecretConfig;
    const fetched = sds && this.byName.get(sds.name)?.validation;
    if (sds && !fetched) return undefined;
    const merged = mergeValidation(own, fetched);
    const roots = merged.trustedCa && this.text(merged.trustedCa);
    const trust = trustOf(merged, namesOf(own, fetched), (source) => this.text(source));
    if (roots === undefined && !trust.trustDomains && trust.acceptNames)
      throw new Error('TLS: subject alternative names are restricted but there is no trustedCa to verify them with');
    return { keyPairs, roots, fetched, trust };
  }

  private keyPair(certificate: TlsCertificate): KeyPair {
    if (!certificate.certificateChain || !certificate.privateKey)
      throw new Error('TLS certificate: needs certificateChain and privateKey');
    return {
      certificateChain: this.text(certificate.certificateChain),
      privateKey: this.text(certificate.privateKey),
    };
  }

  private check(held: Held): void {
    const roots = held.validation?.trustedCa && this.text(held.validation.trustedCa);
    if (held.validation) refuseValidation(held.validation);
    const keyPair = held.certificate && this.keyPair(held.certificate);
    if (!keyPair && roots === undefined) return;
    const crl = roots === undefined ? undefined : held.validation?.crl;
    this.runtime.clientTls({
      keyPair,
      trustedRoots: roots,
      crl: crl && this.text(crl),
      serverName: undefined,
      alpn: [],
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
    });
  }

  private text(source: Source): string {
    if (source.inlineString !== undefined) return source.inlineString;
    if (source.inlineBytes !== undefined) return atob(source.inlineBytes);
    const text = source.filename === undefined ? undefined : this.fileTexts.get(source.filename);
    if (text === undefined)
      throw new Error(source.filename ? `file "${source.filename}" was not read` : 'TLS: empty data source');
    return text;
  }

  private async readFile(path: string): Promise<void> {
    const bytes = await this.runtime.files.read(path);
    if (!bytes) throw new Error(`file "${path}" does not exist`);
    this.fileTexts.set(path, new TextDecoder().decode(bytes));
  }

  private watch(folder: string): void {
    if (this.watches.has(folder)) return;
    this.watches.set(
      folder,
      this.runtime.files.watchFolder(folder, () => {
        this.changed.add(folder);
        this.reloading ??= this.reloadChanged();
      }),
    );
  }

  /** One reload at a time: of two that overlap, the one that read the older text could end last. */
  private async reloadChanged(): Promise<void> {
    for (const folder of this.changed) {
      this.changed.delete(folder);
      await this.reload(folder);
    }
    this.reloading = undefined;
  }

  /** The certificate and its key change in two steps; the pair is checked when the context is made. */
  private async reload(folder: string): Promise<void> {
    for (const [path, before] of [...this.fileTexts]) {
      if (folderOf(path) !== folder && !path.startsWith(`${folder}/`)) continue;
      try {
        await this.readFile(path);
      } catch (error) {
        this.warn(`TLS: ${(error as Error).message}; keeping what was read before`);
      }
      if (this.fileTexts.get(path) !== before) this.generation++;
    }
  }
}

function sameParts(a: Parts, b: Parts): boolean {
  return (
    a.roots === b.roots &&
    a.fetched === b.fetched &&
    a.trust.crl === b.trust.crl &&
    JSON.stringify(a.trust.trustDomains) === JSON.stringify(b.trust.trustDomains) &&
    a.keyPairs.length === b.keyPairs.length &&
    a.keyPairs.every(
      ({ certificateChain, privateKey }, i) =>
        certificateChain === b.keyPairs[i]?.certificateChain && privateKey === b.keyPairs[i]?.privateKey,
    )
  );
}

function ownCertificates({ tlsCertificates = [], tlsCertificateSdsSecretConfigs = [] }: CommonTlsContext): number {
  return tlsCertificates.length + tlsCertificateSdsSecretConfigs.length;
}

function refuseUnsupported(common: CommonTlsContext): void {
  // Envoy passes over the second.
  if (common.tlsCertificates?.length && common.tlsCertificateSdsSecretConfigs?.length)
    throw new Error('TLS: only one of tlsCertificates and tlsCertificateSdsSecretConfigs may be set');
  for (const rule of [common.validationContext, common.combinedValidationContext?.defaultValidationContext])
    if (rule) refuseValidation(rule);
}

/** Holds the code of a Wasm module, which is not read here: a missing file is for the plugin's failure policy. */
const MODULE = 'vmConfig';

/** Adds [path, watchedDirectory] of every file-based data source in a resource. */
function findFiles(value: object, watched: string | undefined, found: [string, string | undefined][]): void {
  const { filename, watchedDirectory } = value as { filename?: unknown; watchedDirectory?: { path?: string } };
  const folder = watchedDirectory?.path ?? watched;
  if (typeof filename === 'string') found.push([filename, folder]);
  for (const name in value) {
    const field = (value as Record<string, unknown>)[name];
    if (typeof field === 'object' && field !== null && name !== MODULE) findFiles(field, folder, found);
  }
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '.' : path.slice(0, slash) || '/';
}
