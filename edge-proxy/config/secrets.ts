/**
 * Certificates and trust roots by SDS name, and the TLS contexts made of them. A context is handed out as a function:
 * whoever dials or accepts reads the current one, so a rotation reaches new connections at once and leaves old ones be.
 */

import type { z } from 'zod';
import type { DataSource } from '../../shared/xds/core.ts';
import type {
  CertificateValidationContext,
  CommonTlsContext,
  DownstreamTlsContext,
  Secret,
  TlsCertificate,
  UpstreamTlsContext,
} from '../../shared/xds/tls.ts';
import type { KeyPair, PeerNames, PeerTrust, Runtime, TlsContext } from '../runtime/runtime.ts';
import type { AskedPeer } from './compile-auto-tls.ts';
import { compileNames } from './peer-names.ts';

type Source = z.infer<typeof DataSource>;
type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

interface Held {
  /** Its files are read again when they change, so the pair is taken from it at each use. */
  readonly certificate: TlsCertificate | undefined;
  readonly validation: CertificateValidationContext | undefined;
}

/** What one context is made of at a moment; equal parts mean the context is still the right one. */
interface Parts {
  readonly keyPair: KeyPair | undefined;
  readonly roots: string | undefined;
  readonly trustDomains: PeerTrust['trustDomains'];
  /** The rules of both validation contexts, as JSON: equal rules need no new context. */
  readonly rules: string;
  readonly pins: PeerTrust['pins'];
  readonly acceptNames: ((names: PeerNames) => boolean) | undefined;
}

const UNREADY: TlsContext = { kind: 'client', unready: 'TLS: the certificates to dial with have not arrived' };

export class Secrets {
  private readonly runtime: Runtime;
  private readonly warn: (line: string) => void;
  private readonly byName = new Map<string, Held>();
  private readonly fileTexts = new Map<string, string>();
  private readonly watches = new Map<string, () => void>();
  private readonly changed = new Set<string>();
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
  async load(resource: unknown): Promise<void> {
    for (const [path, folder] of fileNames(resource)) {
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
   * @param dropH2 leave `h2` out of what is offered: the connection is served by an HTTP/1.1 codec
   * @returns undefined while a secret it names has not arrived
   * @throws Error when a field is not supported or inline material is faulty
   */
  server(context: DownstreamTlsContext, dropH2: boolean): () => TlsContext | undefined {
    const common = context.commonTlsContext ?? {};
    const versions = tlsVersions(common);
    const alpn = (common.alpnProtocols ?? []).filter((name) => !(dropH2 && name === 'h2'));
    return this.follow(common, (parts) => {
      if (!parts.keyPair) return undefined;
      return this.runtime.serverTls({
        keyPair: parts.keyPair,
        trustedRoots: parts.roots,
        requireClientCertificate: context.requireClientCertificate ?? false,
        alpn,
        ...versions,
        ...chosen(common),
        ...trustOf(parts),
      });
    });
  }

  /**
   * As `server`, for dialling; while a secret is missing the context refuses to dial.
   * @param hostname of the endpoint where it is known, for autoHostSni
   * @param asked what the request says of its peer
   */
  client(context: UpstreamTlsContext, hostname = '', asked?: AskedPeer): () => TlsContext {
    if (context.allowRenegotiation) throw new Error('TLS: allowRenegotiation is not supported');
    const serverName = asked?.serverName ?? ((context.autoHostSni && hostname) || context.sni || undefined);
    // Envoy: the SNI that is sent takes the place of the configured names.
    const validates = context.autoSniSanValidation === true && serverName !== undefined;
    const common = context.commonTlsContext ?? {};
    const versions = tlsVersions(common);
    const offered = common.alpnProtocols ?? [];
    const alpn = offered.length > 1 ? offered.filter((name) => name !== 'h2') : offered;
    const wantsKey = hasKeys(common);
    const current = this.follow(common, (parts) => {
      if (wantsKey && !parts.keyPair) return undefined;
      return this.runtime.clientTls({
        keyPair: parts.keyPair,
        trustedRoots: parts.roots,
        serverName,
        alpn,
        ...versions,
        ...chosen(common),
        ...alsoNamed(trustOf(parts, validates ? serverName : undefined), asked?.mustName),
      });
    });
    // No context would mean plaintext to whoever dials.
    return () => current() ?? UNREADY;
  }

  /** Makes the context now (so that faults are found at once) and again whenever its parts have changed. */
  private follow(
    common: CommonTlsContext,
    make: (parts: Parts) => TlsContext | undefined,
  ): () => TlsContext | undefined {
    refuseUnsupported(common);
    let seen = this.generation;
    let parts = this.parts(common);
    let context = parts && make(parts);
    return () => {
      if (seen === this.generation) return context;
      seen = this.generation;
      try {
        const next = this.parts(common);
        if (next && parts && sameParts(next, parts)) return context;
        // A secret that was taken away closes the door; a faulty one was refused before it came here.
        context = next && make(next);
        parts = next;
      } catch (error) {
        this.warn(`TLS: keeping the last good certificates: ${(error as Error).message}`);
      }
      return context;
    };
  }

  /** @returns undefined while a named secret is missing */
  private parts(common: CommonTlsContext): Parts | undefined {
    let keyPair: KeyPair | undefined;
    const inline = common.tlsCertificates?.[0];
    const named = common.tlsCertificateSdsSecretConfigs?.[0];
    if (inline) keyPair = this.keyPair(inline);
    else if (named) {
      const certificate = this.byName.get(named.name)?.certificate;
      if (!certificate) return undefined;
      keyPair = this.keyPair(certificate);
    }
    const own = common.validationContext ?? common.combinedValidationContext?.defaultValidationContext;
    const sds =
      common.validationContextSdsSecretConfig ?? common.combinedValidationContext?.validationContextSdsSecretConfig;
    const fetched = sds && this.byName.get(sds.name)?.validation;
    if (sds && !fetched) return undefined;
    const merged: CertificateValidationContext = { ...own, ...fetched };
    const roots = merged.trustedCa && this.text(merged.trustedCa);
    // Both sides' name rules hold: a secret cannot loosen what the resource demands.
    const rules = [own, fetched].filter((rule) => rule !== undefined).map(compileNames);
    const active = rules.filter((rule) => rule !== undefined);
    const trustDomains = merged.customValidatorConfig?.typedConfig.trustDomains.map(({ name, trustBundle }) => ({
      name,
      roots: this.text(trustBundle),
    }));
    if ((own || fetched) && roots === undefined && !trustDomains && active.length > 0)
      throw new Error('TLS: subject alternative names are restricted but there is no trustedCa to verify them with');
    const acceptNames =
      active.length === 0 ? undefined : (names: PeerNames) => active.every((accepts) => accepts(names));
    return { keyPair, roots, trustDomains, rules: JSON.stringify([own, fetched]), pins: pinsOf(merged), acceptNames };
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
    this.runtime.clientTls({
      keyPair,
      trustedRoots: roots,
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
    a.rules === b.rules &&
    JSON.stringify(a.trustDomains) === JSON.stringify(b.trustDomains) &&
    a.keyPair?.certificateChain === b.keyPair?.certificateChain &&
    a.keyPair?.privateKey === b.keyPair?.privateKey
  );
}

function hasKeys(common: CommonTlsContext): boolean {
  return (common.tlsCertificates?.length ?? 0) > 0 || (common.tlsCertificateSdsSecretConfigs?.length ?? 0) > 0;
}

function refuseUnsupported(common: CommonTlsContext): void {
  const own = (common.tlsCertificates?.length ?? 0) + (common.tlsCertificateSdsSecretConfigs?.length ?? 0);
  if (own > 1) throw new Error('TLS: more than one certificate in a context is not supported');
  for (const rule of [common.validationContext, common.combinedValidationContext?.defaultValidationContext])
    if (rule) refuseValidation(rule);
}

/** @throws Error when a pin is malformed */
function refuseValidation(rule: CertificateValidationContext): void {
  pinsOf(rule);
  const domains = rule.customValidatorConfig?.typedConfig.trustDomains ?? [];
  if (rule.customValidatorConfig && domains.length === 0) throw new Error('TLS: trustDomains: needs at least one');
  if (new Set(domains.map(({ name }) => name)).size < domains.length)
    throw new Error('TLS: trustDomains: a trust domain stands twice');
}

/** Envoy's verify_certificate_hash (hex, colons allowed) and verify_certificate_spki (base64), both of SHA-256. */
function pinsOf(rule: CertificateValidationContext): PeerTrust['pins'] {
  const certificates = (rule.verifyCertificateHash ?? []).map((text) => text.replaceAll(':', '').toLowerCase());
  if (certificates.some((hash) => !/^[0-9a-f]{64}$/.test(hash)))
    throw new Error('TLS: verifyCertificateHash: must be SHA-256 in hexadecimal');
  const keys = (rule.verifyCertificateSpki ?? []).map((text) => {
    if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) throw new Error('TLS: verifyCertificateSpki: must be SHA-256 in base64');
    return Array.from(atob(text), (byte) => byte.charCodeAt(0).toString(16).padStart(2, '0')).join('');
  });
  return certificates.length + keys.length > 0 ? { certificates, keys } : undefined;
}

/** @param onlyName the one DNS name the peer must have, in place of the configured rules */
function trustOf({ trustDomains, pins, acceptNames }: Parts, onlyName?: string): PeerTrust {
  if (onlyName === undefined) return { trustDomains, pins, acceptNames };
  return { trustDomains, pins, acceptNames: (names) => names.dns.some((name) => dnsNameCovers(name, onlyName)) };
}

/** The configured rules hold as well (Envoy's auto_san_validation). @param name a DNS name or an IP address */
function alsoNamed(trust: PeerTrust, name: string | undefined): PeerTrust {
  if (name === undefined) return trust;
  const { acceptNames } = trust;
  return {
    ...trust,
    acceptNames: (names) =>
      (names.dns.some((one) => dnsNameCovers(one, name)) || names.ips.includes(name)) &&
      (acceptNames === undefined || acceptNames(names)),
  };
}

/** A certificate's DNS name against a host (RFC 6125): a leading `*` stands for one whole label. */
function dnsNameCovers(pattern: string, host: string): boolean {
  const [name, wanted] = [pattern.toLowerCase(), host.toLowerCase()];
  if (!name.startsWith('*.')) return name === wanted;
  const dot = wanted.indexOf('.');
  return dot > 0 && wanted.slice(dot) === name.slice(1) && name.indexOf('.', 2) > 0;
}

/** Envoy's `[A|B]`, ciphers of equal preference, is read as a list. */
function chosen(common: CommonTlsContext): { cipherSuites: string[]; curves: string[] } {
  const { cipherSuites = [], ecdhCurves = [] } = common.tlsParams ?? {};
  return {
    cipherSuites: cipherSuites.flatMap((suite) => suite.replace(/^\[(.*)\]$/, '$1').split('|')),
    curves: ecdhCurves,
  };
}

function tlsVersions(common: CommonTlsContext): { minVersion: TlsVersion; maxVersion: TlsVersion } {
  const min = common.tlsParams?.tlsMinimumProtocolVersion ?? 'TLS_AUTO';
  const max = common.tlsParams?.tlsMaximumProtocolVersion ?? 'TLS_AUTO';
  if (max === 'TLSV1_0' || max === 'TLSV1_1') throw new Error('TLS: versions before 1.2 are not supported');
  // A lower minimum is raised: 1.0 and 1.1 are not spoken.
  return {
    minVersion: min === 'TLSV1_3' ? 'TLSv1.3' : 'TLSv1.2',
    maxVersion: max === 'TLSV1_2' ? 'TLSv1.2' : 'TLSv1.3',
  };
}

/** [path, watchedDirectory] of every file-based data source in a resource. */
function* fileNames(value: unknown, watched?: string): Generator<[string, string | undefined]> {
  if (typeof value !== 'object' || value === null) return;
  const { filename, watchedDirectory } = value as { filename?: unknown; watchedDirectory?: { path?: string } };
  const folder = watchedDirectory?.path ?? watched;
  if (typeof filename === 'string') yield [filename, folder];
  for (const field of Object.values(value)) yield* fileNames(field, folder);
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '.' : path.slice(0, slash) || '/';
}
