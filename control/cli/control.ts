/** `tulle control`: the control plane as a process. */
import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import pkg from '../../package.json' with { type: 'json' };
import { type LogSettings, lineLog, logSettings } from '../../shared/log/log.ts';
import { FEATURES, type Feature } from '../../shared/xds/discovery.ts';
import type { ConnectionLimits } from '../api/server/connection-limits.ts';
import { REJOIN_GRACE_SECONDS } from '../ca/life/sqlite-joins.ts';
import { startControlPlane } from '../control-plane.ts';
import type { DiscoveryMode } from '../discovery/service.ts';
import type { SessionLimits } from '../discovery/session-table.ts';
import type { EventSettings } from '../events/mesh-events.ts';
import { parseAllowedHosts } from '../jwks/allowed-addresses.ts';
import type { IssuerKeysSettings } from '../jwks/issuer-keys.ts';
import type { HistorySettings } from '../store/history/history.ts';
import { CLEANUP_SECONDS } from '../workloads/registrations.ts';
import { type AuditFlags, auditOf } from './access/audit-flags.ts';
import { type LimitFlags, limitsOf } from './access/limit-flags.ts';
import { type OidcFlags, oidcOf } from './access/oidc-flags.ts';
import { type UserCertificateFlags, userCertificatesOf } from './access/user-certificate-flags.ts';
import { advertisedOf } from './advertised.ts';
import { CliError, readText } from './cli-error.ts';
import { type EncryptionFlags, encryptionState, sealerOf } from './encryption/encryption-keys.ts';
import { etcdOf, type StoreFlags } from './etcd/etcd-flags.ts';
import { installFolder } from './machine/install-folder.ts';
import { colour } from './output.ts';

export interface ControlFlags
  extends StoreFlags,
    AuditFlags,
    OidcFlags,
    UserCertificateFlags,
    LimitFlags,
    EncryptionFlags {
  data: string;
  historyRetention: string;
  historyLimit: string;
  address: string;
  port: string;
  serverName?: string[];
  advertise?: string;
  tokenIssuer?: string;
  trustDomain: string;
  caCerts?: string;
  svidTtl: string;
  maxSvidTtl?: string;
  rejoinGrace: string;
  discovery: DiscoveryMode;
  withholdFeatures?: string;
  multipleAuthzProviders?: boolean;
  maxSessions: string;
  maxSessionsPerNamespace: string;
  maxSessionsPerIdentity: string;
  workloadCleanupSeconds: string;
  eventTtl: string;
  maxEventsPerNamespace: string;
  maxConnections: string;
  tlsMinVersion: 'VersionTLS12' | 'VersionTLS13';
  maxConnectionsPerAddress: string;
  monitoringAddress: string;
  monitoringPort?: string;
  jwksAllowHost?: string[];
  jwksRefresh: string;
  jwksCaFile?: string;
  logFormat: string;
  logLevel: string;
  installFiles?: string;
  announce?: boolean;
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of `24h`, `90m`, `60s`. @throws CliError */
export function seconds(flag: string, text: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (!amount || !unit) throw new CliError(`${flag} ${text}: must be a duration such as 24h, 90m or 60s`);
  return Number(amount) * UNITS[unit]!;
}

function portOf(flag: string, text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65535) throw new CliError(`${flag} ${text}: must be 0 to 65535`);
  return port;
}

/** Lifetimes the authority can grant, in seconds: a renewal at half life needs some room; the CA itself must live longer. */
const TTL_SECONDS = { least: 10, most: 90 * 86_400 };

function ttlOf(flag: string, text: string): number {
  const ttl = seconds(flag, text);
  if (ttl >= TTL_SECONDS.least && ttl <= TTL_SECONDS.most) return ttl;
  throw new CliError(`${flag} ${text}: must be 10s to 2160h`);
}

/** @returns seconds: what an SVID lives by default, and the longest a workload may request */
function svidTtls({ svidTtl, maxSvidTtl = svidTtl }: ControlFlags): { svidTtl: number; maxSvidTtl: number } {
  const ttls = { svidTtl: ttlOf('--svid-ttl', svidTtl), maxSvidTtl: ttlOf('--max-svid-ttl', maxSvidTtl) };
  if (ttls.maxSvidTtl >= ttls.svidTtl) return ttls;
  throw new CliError(`--max-svid-ttl ${maxSvidTtl}: must not be shorter than --svid-ttl, ${svidTtl}`);
}

function rejoinGrace({ rejoinGrace: text }: ControlFlags): number {
  const grace = seconds('--rejoin-grace', text);
  if (grace <= REJOIN_GRACE_SECONDS.max) return grace;
  throw new CliError(`--rejoin-grace ${text}: must be 0s to ${REJOIN_GRACE_SECONDS.max / 3600}h`);
}

/** Seconds: from an interval in which someone may look, to what a store bears. */
const EVENT_TTL = { least: 10, most: 7 * 86_400 };

function eventSettings({ eventTtl: text, maxEventsPerNamespace }: ControlFlags): EventSettings {
  const ttlSeconds = seconds('--event-ttl', text);
  if (ttlSeconds < EVENT_TTL.least || ttlSeconds > EVENT_TTL.most)
    throw new CliError(`--event-ttl ${text}: must be 10s to 168h`);
  return { ttlSeconds, perNamespace: countOf('--max-events-per-namespace', maxEventsPerNamespace) };
}

function countOf(flag: string, text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new CliError(`${flag} ${text}: must be a whole number from 1 to 9999999`);
}

function sessionLimits(flags: ControlFlags): Partial<SessionLimits> {
  return {
    total: countOf('--max-sessions', flags.maxSessions),
    perNamespace: countOf('--max-sessions-per-namespace', flags.maxSessionsPerNamespace),
    perIdentity: countOf('--max-sessions-per-identity', flags.maxSessionsPerIdentity),
  };
}

function workloadCleanup({ workloadCleanupSeconds: text }: ControlFlags): number {
  const { max } = CLEANUP_SECONDS;
  if (/^\d{1,5}$/.test(text) && Number(text) <= max) return Number(text);
  throw new CliError(`--workload-cleanup-seconds ${text}: must be a whole number of seconds from 0 to ${max}`);
}

function historyOf({ historyRetention, historyLimit }: ControlFlags): HistorySettings {
  return {
    retentionMs: seconds('--history-retention', historyRetention) * 1000,
    perResource: countOf('--history-limit', historyLimit),
  };
}

function featuresOf(text = ''): readonly Feature[] {
  return text
    .split(',')
    .filter((name) => name !== '')
    .map((name) => {
      const feature = FEATURES.find((known) => known === name);
      if (feature) return feature;
      throw new CliError(`--withhold-features ${name}: must be of ${FEATURES.join(', ')}`);
    });
}

function connectionLimits(flags: ControlFlags): ConnectionLimits {
  return {
    total: countOf('--max-connections', flags.maxConnections),
    perAddress: countOf('--max-connections-per-address', flags.maxConnectionsPerAddress),
  };
}

function issuerKeys({ jwksAllowHost = [], jwksRefresh, jwksCaFile }: ControlFlags): IssuerKeysSettings {
  const refreshMs = seconds('--jwks-refresh', jwksRefresh) * 1000;
  if (refreshMs === 0) throw new CliError(`--jwks-refresh ${jwksRefresh}: must be at least 1s`);
  try {
    const allowedHosts = parseAllowedHosts(jwksAllowHost);
    return {
      allowedHosts,
      refreshMs,
      ...(jwksCaFile !== undefined && { extraRoots: readText(jwksCaFile, '--jwks-ca-file') }),
    };
  } catch (error) {
    throw error instanceof CliError ? error : new CliError(`--jwks-allow-host ${(error as Error).message}`);
  }
}

function logOf({ logFormat, logLevel }: ControlFlags): LogSettings {
  try {
    return logSettings(logFormat, logLevel);
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** OpenID Connect Discovery 1.0 section 2: verifiers find the keys below it. */
function tokenIssuerOf(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol === 'https:' && !url.search && !url.hash && !url.username && !url.password)
    return text.replace(/\/$/, '');
  throw new CliError(`--token-issuer ${text}: must be an https URL without query and fragment`);
}

/** Who reads the announcement learns the port; a fixed one would collide with that of another control plane. */
function monitoringOf({ port, announce, monitoringAddress: address, monitoringPort }: ControlFlags) {
  if (isIP(address) === 0) throw new CliError(`--monitoring-address ${address}: must be an IP address`);
  return {
    address,
    port: portOf('--monitoring-port', monitoringPort ?? (announce || Number(port) === 0 ? '0' : '15014')),
  };
}

/** A folder named by the user must hold a CA: making one there would hide a mistyped path. */
function caFolder(folder: string | undefined): string | undefined {
  if (folder === undefined) return undefined;
  const missing = ['root-cert.pem', 'ca-cert.pem', 'ca-key.pem'].filter((name) => !existsSync(join(folder, name)));
  if (missing.length === 0) return folder;
  throw new CliError(`--ca-certs ${folder}: has no ${missing.join(', ')}; leave the flag out to have a CA made`);
}

/** A control plane outlives the reader of its audit log, as that of its log; lines that are lost are counted. */
function outliveStdout(): void {
  process.stdout.removeAllListeners('error').on('error', () => {});
}

/** Runs until SIGTERM or SIGINT. SIGHUP opens the file of the audit log again, and reads the CAs of users again. */
export async function runControl(flags: ControlFlags): Promise<void> {
  const names = flags.serverName ?? [];
  const log = lineLog({
    ...logOf(flags),
    scope: 'tulle control',
    write: (line) => void process.stderr.write(`${line}\n`),
    now: Date.now,
  });
  const etcd = etcdOf(flags);
  const audit = auditOf(flags);
  const userCertificates = userCertificatesOf(flags);
  const sealer = await sealerOf(flags);
  const plane = await startControlPlane({
    data: flags.data,
    ...(etcd && { etcd }),
    ...(sealer && { sealer }),
    history: historyOf(flags),
    address: flags.address,
    port: portOf('--port', flags.port),
    monitoring: monitoringOf(flags),
    dnsNames: names.filter((name) => isIP(name) === 0),
    ips: names.filter((name) => isIP(name) !== 0),
    ...(flags.advertise !== undefined && { advertised: advertisedOf(flags.advertise) }),
    ...(flags.tokenIssuer !== undefined && { tokenIssuer: tokenIssuerOf(flags.tokenIssuer) }),
    trustDomain: flags.trustDomain,
    caFolder: caFolder(flags.caCerts),
    ...svidTtls(flags),
    rejoinGrace: rejoinGrace(flags),
    discovery: flags.discovery,
    withheldFeatures: featuresOf(flags.withholdFeatures),
    multipleAuthorizers: flags.multipleAuthzProviders ?? false,
    sessionLimits: sessionLimits(flags),
    connectionLimits: connectionLimits(flags),
    identityLimits: limitsOf(flags),
    minTlsVersion: flags.tlsMinVersion === 'VersionTLS12' ? 'TLSv1.2' : 'TLSv1.3',
    workloadCleanup: workloadCleanup(flags),
    events: eventSettings(flags),
    issuerKeys: issuerKeys(flags),
    audit,
    oidc: oidcOf(flags),
    userCertificates,
    installFiles: installFolder(flags.installFiles),
    version: pkg.version,
    log,
  });
  if (audit?.path === '-') outliveStdout();
  if (userCertificates || (audit && audit.path !== '-')) process.on('SIGHUP', () => void plane.reload());
  if (sealer) log(encryptionState(sealer));
  // A reader of the next lines may stop this process at once.
  const stopped = new Promise<void>((stop) => process.once('SIGTERM', stop).once('SIGINT', stop));
  if (flags.announce) {
    const { url, port, monitoringPort, trustBundle, adminToken } = plane;
    process.stdout.write(`${JSON.stringify({ ready: true, url, port, monitoringPort, trustBundle, adminToken })}\n`);
  } else {
    process.stdout.write(`control API at ${plane.url}\n`);
    if (plane.adminToken)
      process.stdout.write(
        `admin token (shown this once, kept hashed): ${colour.bold(plane.adminToken)}\n` +
          `for kubectl and tulle: tulle kubeconfig --save --server ${plane.url} --ca-file ${flags.caCerts ?? `${flags.data}/ca`}/root-cert.pem --token ${plane.adminToken}\n`,
      );
  }
  try {
    await stopped;
  } finally {
    await plane.stop();
  }
}
