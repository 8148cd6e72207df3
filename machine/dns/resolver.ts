/**
 * Makes the programs of this host ask the proxy's DNS server, and puts back what was there before. Where rules redirect port 53
 * there already, only the search domains remain to be set, and only for systemd-resolved, which asks for no name of one label without.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseResolvConf } from '../../shared/dns/resolv-conf.ts';
import {
  type Original,
  OWN_HOST,
  originalOf,
  type ResolverHost,
  removeWithFolder,
  replace,
  restore,
  textOf,
} from './resolver-files.ts';

/** `captured`: nothing was changed. */
export type ResolverMode = 'captured' | 'systemd-resolved' | 'resolv.conf';

export interface SetUpOptions {
  /** Of the DNS server: a loopback address. */
  readonly address: string;
  readonly port: number;
  /** For short names, as `shop.svc.cluster.local`, the most specific first. */
  readonly searchDomains: readonly string[];
  /** Queries for port 53 are redirected to the DNS server. */
  readonly captured: boolean;
  /** Where what was changed is recorded; absolute. */
  readonly stateFile: string;
}

export interface ResolverSetUp {
  readonly mode: ResolverMode;
  /** The servers that the DNS server must be given, as those of the host name itself now; undefined: it finds them. */
  readonly upstreams: readonly string[] | undefined;
}

/** What was changed on the host. */
interface ResolverState {
  readonly mode: ResolverMode;
  /** The file that was written, and what was in its place. */
  readonly path: string;
  readonly written: string;
  readonly original: Original;
  readonly upstreams: readonly string[] | undefined;
}

export interface ResolverFinding {
  readonly severity: 'error' | 'warning';
  /** One line. */
  readonly message: string;
  readonly remedy: string;
}

/** The resolver of this host cannot be set up, or put back; one line, with the remedy. */
export class ResolverError extends Error {
  override name = 'ResolverError';
}

const RESOLV_CONF = '/etc/resolv.conf';
const DROP_IN = '/etc/systemd/resolved.conf.d/50-tulle.conf';
const STUB = '127.0.0.53';
const DNS_PORT = 53;
const MARK = '# Written by tulle; "tulle leave" puts back what was here.';
/** glibc before 2.26 takes no more. */
const MAX_SEARCH = 6;

/**
 * Chooses what is robust on the host. A second run with the same options changes nothing; what another program has written since
 * counts as what was there before.
 * @throws ResolverError with the remedy; nothing is changed then
 */
export function setUp(options: SetUpOptions, host: ResolverHost = OWN_HOST): ResolverSetUp {
  const before = readState(options.stateFile);
  const isResolved = asksResolved(host);
  if (isResolved) return setUpResolved(options, before, host);
  if (options.captured) {
    if (before) putBack(options, host);
    return { mode: 'captured', upstreams: undefined };
  }
  return setUpFile(options, before, host);
}

/** @returns whether anything was put back; what another program has written since stays as it is */
export function putBack({ stateFile }: Pick<SetUpOptions, 'stateFile'>, host: ResolverHost = OWN_HOST): boolean {
  const state = readState(stateFile);
  if (!state) return false;
  const isOurs = textOf(host, state.path) === state.written;
  if (isOurs && state.mode === 'systemd-resolved' && state.original.kind === 'absent')
    removeWithFolder(host, state.path);
  else if (isOurs) restore(host, state.path, state.original);
  if (isOurs && state.mode === 'systemd-resolved') restartResolved(host);
  rmSync(stateFile, { force: true });
  return isOurs;
}

/** How names are resolved since `setUp`; undefined: nothing was changed. */
export function show({ stateFile }: Pick<SetUpOptions, 'stateFile'>): (ResolverSetUp & { path: string }) | undefined {
  const state = readState(stateFile);
  return state && { mode: state.mode, path: state.path, upstreams: state.upstreams };
}

/** What has undone the settings since, or may undo them. */
export function resolverFindings(
  { stateFile }: Pick<SetUpOptions, 'stateFile'>,
  host: ResolverHost = OWN_HOST,
): ResolverFinding[] {
  const state = readState(stateFile);
  if (!state) return [];
  const now = textOf(host, state.path);
  if (now !== state.written) {
    const by = managerOf(now);
    return [
      {
        severity: 'error',
        message: `${state.path} was ${now === '' ? 'removed' : `rewritten${by ? ` by ${by}` : ''}`}: names of the mesh are not resolved`,
        remedy: `run "tulle join" again${by ? `, and stop ${by} from writing the file, or use capture` : ''}`,
      },
    ];
  }
  if (state.mode === 'systemd-resolved' && !asksResolved(host))
    return [
      {
        severity: 'error',
        message: `${RESOLV_CONF} does not name systemd-resolved any longer: names of the mesh are not resolved`,
        remedy: 'run "tulle join" again',
      },
    ];
  const writer =
    state.original.kind === 'file' ? managerOf(fromBase64(state.original.content)) : linkOwner(state.original);
  if (state.mode !== 'resolv.conf' || !writer) return [];
  return [
    {
      severity: 'warning',
      message: `${writer} may rewrite ${RESOLV_CONF}`,
      remedy: `stop ${writer} from writing the file, or use capture`,
    },
  ];
}

/** All queries go to the DNS server (`~.`): hosts outside of the mesh's domain have names there as well. */
function setUpResolved(options: SetUpOptions, before: ResolverState | undefined, host: ResolverHost): ResolverSetUp {
  const { captured, address, port, searchDomains } = options;
  const server = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  const domains = captured ? searchDomains : [...searchDomains, '~.'];
  const lines = [MARK, '[Resolve]', ...(captured ? [] : [`DNS=${server}`]), `Domains=${domains.join(' ')}`];
  const written = `${lines.join('\n')}\n`;
  const done: ResolverSetUp = { mode: 'systemd-resolved', upstreams: undefined };
  if (before?.path === DROP_IN && before.written === written && textOf(host, DROP_IN) === written) return done;
  if (before) putBack(options, host);
  change(options, { mode: done.mode, path: DROP_IN, written, upstreams: undefined }, host);
  if (restartResolved(host)) return done;
  putBack(options, host);
  throw new ResolverError('systemd-resolved cannot be restarted; see "systemctl status systemd-resolved"');
}

function setUpFile(options: SetUpOptions, before: ResolverState | undefined, host: ResolverHost): ResolverSetUp {
  const { address, port } = options;
  if (port !== DNS_PORT)
    throw new ResolverError(
      `${RESOLV_CONF} cannot name port ${port}; use capture, or give the proxy --dns-port ${DNS_PORT}`,
    );
  const isOurs = before?.path === RESOLV_CONF && textOf(host, RESOLV_CONF) === before.written;
  const text = isOurs ? originalText(before.original, host) : textOf(host, RESOLV_CONF);
  const { nameservers } = parseResolvConf(text);
  const upstreams = nameservers.filter((server) => server !== address);
  const written = rewritten(text, options);
  const done: ResolverSetUp = { mode: 'resolv.conf', upstreams };
  if (isOurs && before.written === written) return { ...done, upstreams: before.upstreams };
  if (before) putBack(options, host);
  change(options, { mode: done.mode, path: RESOLV_CONF, written, upstreams }, host);
  return done;
}

/** The record is there before the change: a crash between them leaves nothing that cannot be put back. */
function change(
  { stateFile }: Pick<SetUpOptions, 'stateFile'>,
  wanted: Omit<ResolverState, 'original'>,
  host: ResolverHost,
): void {
  const state: ResolverState = { ...wanted, original: originalOf(host, wanted.path) };
  try {
    mkdirSync(dirname(stateFile), { recursive: true });
    writeFileSync(stateFile, JSON.stringify(state), { mode: 0o600 });
  } catch (error) {
    throw new ResolverError(`${stateFile} cannot be written: ${(error as Error).message}`);
  }
  try {
    replace(host, wanted.path, wanted.written, 0o644);
  } catch (error) {
    rmSync(stateFile, { force: true });
    throw new ResolverError(`${wanted.path} cannot be written: ${(error as Error).message}; run it as root`);
  }
}

/** With the options and comments that it had; its own search domains follow those of the mesh. */
function rewritten(text: string, { address, searchDomains }: SetUpOptions): string {
  const kept = text
    .split('\n')
    .filter((line) => line !== '' && line !== MARK && !/^\s*(nameserver|search|domain)\b/.test(line));
  const { search } = parseResolvConf(text);
  const domains = [...new Set([...searchDomains, ...search])].slice(0, MAX_SEARCH);
  const own = [`nameserver ${address}`, ...(domains.length > 0 ? [`search ${domains.join(' ')}`] : [])];
  return `${[MARK, ...kept, ...own].join('\n')}\n`;
}

function originalText(original: Original, host: ResolverHost): string {
  if (original.kind === 'file') return fromBase64(original.content);
  if (original.kind === 'absent') return '';
  return textOf(host, original.target.startsWith('/') ? original.target : `${dirname(RESOLV_CONF)}/${original.target}`);
}

const fromBase64 = (text: string): string => Buffer.from(text, 'base64').toString('utf8');

/** Programs ask systemd-resolved: its stub is the only server. */
function asksResolved(host: ResolverHost): boolean {
  const { nameservers } = parseResolvConf(textOf(host, RESOLV_CONF));
  return nameservers.length > 0 && nameservers.every((address) => address === STUB);
}

function restartResolved(host: ResolverHost): boolean {
  return host.run(['systemctl', 'restart', 'systemd-resolved']) === 0;
}

const MANAGERS: readonly (readonly [RegExp, string])[] = [
  [/NetworkManager/i, 'NetworkManager'],
  [/dhclient/i, 'dhclient'],
  [/dhcpcd/i, 'dhcpcd'],
  [/resolvconf/i, 'resolvconf'],
  [/systemd-resolved/i, 'systemd-resolved'],
  [/netconfig/i, 'netconfig'],
];

/** Programs name themselves in the comments of the files that they write. */
function managerOf(text: string): string | undefined {
  const comments = text.split('\n').filter((line) => /^\s*[#;]/.test(line) && line !== MARK);
  return MANAGERS.find(([pattern]) => comments.some((line) => pattern.test(line)))?.[1];
}

function linkOwner(original: Original): string | undefined {
  if (original.kind !== 'link') return undefined;
  return MANAGERS.find(([pattern]) => pattern.test(original.target))?.[1] ?? `the owner of ${original.target}`;
}

/** @throws ResolverError when it is malformed: what was changed is not known then */
function readState(stateFile: string): ResolverState | undefined {
  let text: string;
  try {
    text = readFileSync(stateFile, 'utf8');
  } catch {
    return undefined;
  }
  try {
    const state = JSON.parse(text) as ResolverState;
    if (typeof state.written === 'string' && typeof state.original?.kind === 'string') return state;
  } catch {
    // Said below.
  }
  throw new ResolverError(
    `${stateFile} is malformed; put back ${RESOLV_CONF} and ${DROP_IN} by hand, and remove the file`,
  );
}
