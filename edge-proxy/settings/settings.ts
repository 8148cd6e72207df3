/** The proxy process's settings, from flags and then environment; all violations are reported together. */
import * as z from 'zod';
import { parseSocketAddress } from '../../shared/dns/socket-address.ts';
import { CAPTURE_PORTS, NEVER_CAPTURED } from '../../shared/join/capture-ports.ts';
import { DEFAULT_LOG, LOG_FORMATS, LOG_LEVELS } from '../../shared/log/log.ts';

export const USAGE = `tulle proxy: a mesh proxy (sidecar, gateway, or from a static file)

  -c, --config FILE          run a static file in Envoy's bootstrap form (JSON); needs no control plane

  --control-plane URL,URL    https://HOST:PORT of the control plane; repeatable: where it [TULLE_CONTROL_PLANE]
                             cannot be reached or fails, the next one is used
  --trust-bundle FILE        PEM roots the control plane and the mesh chain to [TULLE_TRUST_BUNDLE]
  --join-token TOKEN         one-time token for the first certificate          [TULLE_JOIN_TOKEN]
  --join-token-file FILE     the file that holds it; /dev/fd/N: a descriptor   [TULLE_JOIN_TOKEN_FILE]
  --data DIR                 keeps key, certificate and last good config       [TULLE_DATA]
  --namespace NAME           of the workload (default: default)                [TULLE_NAMESPACE]
  --service-account NAME     of the workload (default: default)                [TULLE_SERVICE_ACCOUNT]
  --name NAME                of the workload (default: the service account)    [TULLE_NAME]
  --type sidecar|router      router: a gateway (default: sidecar)              [TULLE_TYPE]
  --ip ADDRESS|auto          the workload's address (default: 127.0.0.1); auto: the one from which [TULLE_IP]
                             the control plane is reached, followed when it changes
  --group NAME               WorkloadGroup in which the machine registers      [TULLE_GROUP]
  --network NAME             of the workload's address (default: that of the group) [TULLE_NETWORK]
  --behind-nat               sidecar: no peer can dial the workload; it keeps tunnels to gateways and is
                             called by these
  --tunnel-port PORT         router: takes tunnels of workloads behind NAT at this port [TULLE_TUNNEL_PORT]
                             (default: takes none)
  --labels K=V,K=V           of the workload                                   [TULLE_LABELS]
  --app-port NAME=PORT       where the application listens for service port NAME; repeatable
  --locality REGION/ZONE/SUBZONE                                               [TULLE_LOCALITY]
  --domain-suffix NAME       (default: cluster.local)                          [TULLE_DOMAIN_SUFFIX]
  --trust-domain NAME        the mesh's; a certificate of another is refused   [TULLE_TRUST_DOMAIN]
                             (default: that of the certificate)
  --http-proxy-port PORT     loopback port for HTTP proxy requests             [TULLE_HTTP_PROXY_PORT]
                             (default: none; tulle run chooses one and keeps it in --data)
  --http-proxy-secret-file FILE  clients of that port must have the secret in it, as user tulle [TULLE_HTTP_PROXY_SECRET_FILE]
                             (default: none with tulle proxy; tulle run makes one for each run)
  --outbound-bind ADDRESS    where outbound listeners bind                     [TULLE_OUTBOUND_BIND]
                             (default: an address of the workload's own in 127.64.0.0/10)
  --interception-mode MODE   NONE (default), or TPROXY: connections are captured by the machine's [TULLE_INTERCEPTION_MODE]
                             rules and arrive on inherited sockets (TULLE_LISTEN_FDS, or systemd's LISTEN_FDS)

  --dns-port PORT|off        answers DNS on 127.0.0.1 and ::1: names of the mesh, and others by [TULLE_DNS_PORT]
                             upstream servers (default: off; 15053 with --interception-mode TPROXY)
  --dns-upstream ADDRESS[:PORT]  a server for names outside of the mesh; repeatable [TULLE_DNS_UPSTREAM]
                             (default: those of /etc/resolv.conf, or of systemd-resolved)

  --discovery MODE           on-demand (default): fetch a host when it is first used; [TULLE_DISCOVERY]
                             eager: hold all hosts that may be called, as gateways always do
  --host-wait-ms N           how long a request waits for its host (default: 1000) [TULLE_HOST_WAIT_MS]
  --unused-host-seconds N    a fetched host that is not used for so long is let go (default: 3600) [TULLE_UNUSED_HOST_SECONDS]

  --envoy-path FILE          runs traffic with this Envoy, as tulle envoy does: words [TULLE_ENVOY_PATH]
                             after -- are its arguments (default: none, this process does)
  --envoy-admin-port PORT    of Envoy's own admin interface on 127.0.0.1 (default: chosen free) [TULLE_ENVOY_ADMIN_PORT]

  --admin-address ADDRESS    (default: 127.0.0.1)                              [TULLE_ADMIN_ADDRESS]
  --admin-port PORT          0: chosen free (default: 15000, 0 with --announce or COMMAND) [TULLE_ADMIN_PORT]
  --stats-address ADDRESS[:PORT]  serves GET /stats/prometheus and /metrics alone, and says so to the [TULLE_STATS_ADDRESS]
                             control plane: --ip, or 0.0.0.0 or :: (default: nowhere; port 15090)
  --leave-on-stop yes|no     a stop takes the workload out of discovery first (default: yes); no: where another process [TULLE_LEAVE_ON_STOP]
                             follows on the same sockets, so that their connections wait for it
  --drain-seconds N          how long connections may finish                   [TULLE_DRAIN_SECONDS]
                             (default: the mesh's terminationDrainDuration, else 5)
  --drain-time-seconds N     how long connections of a listener that is gone may stay [TULLE_DRAIN_TIME_SECONDS]
                             (default: the mesh's drainDuration, else 45)
  --concurrency N            worker processes on the same ports; 1: this one alone [TULLE_CONCURRENCY]
                             (default: the mesh's ProxyConfig, else 1)
  --close-on-expiry          end a connection when its client's certificate expires
  --max-memory-mb N          resident memory at which new work is refused (default: none) [TULLE_MAX_MEMORY_MB]
  --max-loop-lag-ms N        lag of the event loop at which new work is refused (default: none) [TULLE_MAX_LOOP_LAG_MS]
  --max-connections N        downstream connections of the process (default: no limit) [TULLE_MAX_CONNECTIONS]
  --log-format text|json     of the log (default: text)      [TULLE_LOG_FORMAT]
  --log-level LEVEL          error, warn, info or debug (default: info)        [TULLE_LOG_LEVEL]
  --log-file FILE            the proxy's own output is appended to it, access log included [TULLE_LOG_FILE]
                             (default: standard output and error; of tulle run standard error)
  --announce                 print one JSON line with the ports once ready
  -h, --help                 this text

  -- COMMAND                 start COMMAND once the proxy is ready, as tulle run does; end with it
`;

export type Parsed =
  | { readonly kind: 'help' }
  | { readonly kind: 'invalid'; readonly violations: readonly string[] }
  | { readonly kind: 'static'; readonly settings: StaticSettings; readonly command?: Command }
  | { readonly kind: 'mesh'; readonly settings: MeshSettings; readonly command?: Command };

/** The application to run with the proxy, and its arguments. */
export type Command = readonly [string, ...string[]];

const PATTERNS = {
  label: /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
  domain: /^[a-z0-9._-]{1,255}$/,
  ip: /^(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/,
};
const DNS_PORT = 53;
/** Istio's. */
const STATS_PORT = 15090;
const CONTROL_PLANE = /^https:\/\/[^/\s]+\/?$/;
const name = z.string().regex(PATTERNS.label, 'must be a DNS label');
const port = z
  .string()
  .regex(/^\d{1,5}$/, 'must be a port number')
  .transform(Number)
  .refine((n) => n <= 65535, 'must be a port number');
const pairs = (what: string) =>
  z.string().transform((text, ctx) => {
    const out: Record<string, string> = {};
    for (const pair of text.split(',').filter(Boolean)) {
      const at = pair.indexOf('=');
      if (at <= 0) ctx.addIssue({ code: 'custom', message: `must be ${what}, found "${pair}"` });
      else out[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
    }
    return out;
  });

const seconds = z
  .string()
  .regex(/^\d{1,5}$/, 'must be a number of seconds')
  .transform(Number);
const common = {
  'admin-address': z.string().regex(PATTERNS.ip, 'must be an IP address').default('127.0.0.1'),
  'admin-port': port.optional(),
  'drain-seconds': z
    .string()
    .regex(/^\d{1,4}$/, 'must be a number of seconds')
    .transform(Number)
    .optional(),
  'drain-time-seconds': seconds.optional(),
  concurrency: z
    .string()
    .regex(/^([1-9]|[1-5]\d|6[0-4])$/, 'must be a number from 1 to 64')
    .transform(Number)
    .optional(),
  'close-on-expiry': z.boolean().default(false),
  'log-file': z.string().min(1).optional(),
  announce: z.boolean().default(false),
  'log-format': z.enum(LOG_FORMATS, { error: 'must be text or json' }).default(DEFAULT_LOG.format),
  'log-level': z.enum(LOG_LEVELS, { error: 'must be error, warn, info or debug' }).default(DEFAULT_LOG.level),
};
const positive = z
  .string()
  .regex(/^[1-9]\d{0,8}$/, 'must be a whole number above 0')
  .transform(Number);
const statsAddress = z.string().transform((text, context) => {
  const at = parseSocketAddress(text, STATS_PORT);
  if (!at) context.addIssue({ code: 'custom', message: 'must be ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT' });
  return at ?? { address: '', port: 0 };
});
const dnsServers = z.string().transform((text, context) =>
  text.split(',').map((item) => {
    const server = parseSocketAddress(item.trim(), DNS_PORT);
    if (!server)
      context.addIssue({ code: 'custom', message: `"${item}": must be ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT` });
    return server ?? { address: '', port: 0 };
  }),
);
const StaticFlags = z.strictObject({ ...common, config: z.string().min(1) });
const MeshFlags = z
  .strictObject({
    ...common,
    'control-plane': z
      .string({ error: 'is required (or -c FILE)' })
      .transform((text) => text.split(',').map((url) => url.trim()))
      .refine(
        (urls) => urls.every((url) => CONTROL_PLANE.test(url)),
        'must be https://HOST:PORT, several joined by commas',
      )
      .refine((urls) => new Set(urls).size === urls.length, 'must not name an address twice'),
    'trust-bundle': z.string().min(1).optional(),
    'join-token': z.string().min(1).optional(),
    'join-token-file': z.string().min(1).optional(),
    data: z.string({ error: 'is required: the folder for key, certificate and last good config' }).min(1),
    namespace: name.default('default'),
    'service-account': name.default('default'),
    name: z
      .string()
      .regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'must be a DNS name')
      .optional(),
    type: z.enum(['sidecar', 'router'], { error: 'must be sidecar or router' }).default('sidecar'),
    ip: z
      .union([z.literal('auto'), z.string().regex(PATTERNS.ip)], { error: 'must be an IP address or auto' })
      .default('127.0.0.1'),
    group: z
      .string()
      .regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'must be a DNS name')
      .optional(),
    network: z
      .string()
      .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, 'must be a name of letters, digits, ".", "_" and "-"')
      .optional(),
    'behind-nat': z.boolean().default(false),
    'tunnel-port': port.refine((n) => n > 0, 'must be a port number above 0').optional(),
    labels: pairs('K=V,K=V').default({}),
    'app-port': pairs('NAME=PORT')
      .transform((found, ctx) => {
        const out: Record<string, number> = {};
        for (const [key, value] of Object.entries(found)) {
          const parsed = port.safeParse(value);
          if (parsed.success) out[key] = parsed.data;
          else ctx.addIssue({ code: 'custom', message: `"${key}=${value}": must be NAME=PORT` });
        }
        return out;
      })
      .default({}),
    locality: z
      .string()
      .regex(/^[^/]+(\/[^/]*){0,2}$/, 'must be REGION/ZONE/SUBZONE')
      .optional(),
    'domain-suffix': z.string().regex(PATTERNS.domain, 'must be a DNS name').default('cluster.local'),
    'trust-domain': z.string().regex(PATTERNS.domain, 'must be a DNS name').optional(),
    'max-memory-mb': positive.optional(),
    'max-loop-lag-ms': positive.optional(),
    'max-connections': positive.optional(),
    discovery: z.enum(['on-demand', 'eager'], { error: 'must be on-demand or eager' }).default('on-demand'),
    'host-wait-ms': z
      .string()
      .regex(/^\d{1,5}$/, 'must be a number of milliseconds')
      .transform(Number)
      .default(1000),
    'leave-on-stop': z.enum(['yes', 'no'], { error: 'must be yes or no' }).default('yes'),
    'unused-host-seconds': positive.default(3600),
    'http-proxy-port': port.refine((n) => n > 0, 'must be a port number above 0').optional(),
    'http-proxy-secret-file': z.string().min(1).optional(),
    'dns-port': z
      .union([z.literal('off').transform(() => 'off' as const), port], { error: 'must be a port number, or off' })
      .optional(),
    'dns-upstream': dnsServers.default([]),
    'stats-address': statsAddress.optional(),
    'outbound-bind': z.string().regex(PATTERNS.ip, 'must be an IP address').optional(),
    'interception-mode': z.enum(['NONE', 'TPROXY'], { error: ({ input }) => modeRule(input) }).default('NONE'),
    'envoy-path': z.string().min(1).optional(),
    'envoy-admin-port': port.default(0),
  })
  .superRefine((settings, ctx) => {
    const refuse = (flag: string, reason: string) => ctx.addIssue({ code: 'custom', path: [flag], message: reason });
    const stats = settings['stats-address'];
    if (stats && ![settings.ip, '0.0.0.0', '::'].includes(stats.address))
      refuse('stats-address', `must be 0.0.0.0, ::, or the address of --ip (${settings.ip}), at which peers find it`);
    if (settings['envoy-path'] !== undefined) refuseWithEnvoy(settings, refuse);
    refuseTunnels(settings, refuse);
    if (settings['interception-mode'] !== 'TPROXY') return;
    if (stats && (stats.port < NEVER_CAPTURED.first || stats.port > NEVER_CAPTURED.last))
      refuse(
        'stats-address',
        `must have a port from ${NEVER_CAPTURED.first} to ${NEVER_CAPTURED.last} with --interception-mode TPROXY: connections to others are captured`,
      );
    if (settings.type === 'router')
      refuse('interception-mode', 'must be NONE with --type router: gateways capture nothing');
    for (const flag of ['http-proxy-port', 'outbound-bind'] as const)
      if (settings[flag] !== undefined)
        refuse(flag, 'does not go with --interception-mode TPROXY: connections are captured');
  });

/** What the agent beside Envoy does not do. */
function refuseWithEnvoy(
  settings: Readonly<Record<string, unknown>>,
  refuse: (flag: string, reason: string) => void,
): void {
  if (settings['interception-mode'] === 'TPROXY')
    refuse(
      'interception-mode',
      'must be NONE with --envoy-path: Envoy cannot take the inherited sockets of captured connections',
    );
  for (const flag of ['concurrency', 'max-memory-mb', 'max-loop-lag-ms', 'max-connections', 'http-proxy-secret-file'])
    if (settings[flag] !== undefined)
      refuse(flag, 'does not go with --envoy-path: give Envoy its own arguments after --');
  for (const flag of ['behind-nat', 'tunnel-port'])
    if (settings[flag]) refuse(flag, 'does not go with --envoy-path: Envoy has no such tunnels');
  if (settings['close-on-expiry'])
    refuse('close-on-expiry', 'does not go with --envoy-path: Envoy keeps such connections');
}

/** Tunnels are ends of one process: a connection to a workload must come to the worker that has its tunnel. */
function refuseTunnels(
  settings: Readonly<Record<string, unknown>>,
  refuse: (flag: string, reason: string) => void,
): void {
  const isRouter = settings['type'] === 'router';
  if (settings['behind-nat'] && isRouter) refuse('behind-nat', 'does not go with --type router');
  if (settings['tunnel-port'] === undefined) return;
  if (!isRouter) refuse('tunnel-port', 'needs --type router: gateways take tunnels');
  if (settings['concurrency'] !== undefined && settings['concurrency'] !== 1)
    refuse(
      'concurrency',
      'must be 1 with --tunnel-port: start several gateways instead, each with an address of its own',
    );
}

function modeRule(mode: unknown): string {
  return mode === 'REDIRECT'
    ? 'must be NONE or TPROXY: REDIRECT needs SO_ORIGINAL_DST, which no runtime gives; use TPROXY'
    : 'must be NONE or TPROXY';
}
interface Derived {
  /** Where neither flags nor a file name a port. */
  readonly defaultAdminPort: number;
}
export type StaticSettings = z.infer<typeof StaticFlags> & Derived;
export type MeshSettings = z.infer<typeof MeshFlags> & Derived;
/** The flags that override ProxyConfig at the process's start. */
export type ProcessFlags = Pick<StaticSettings, 'concurrency' | 'drain-seconds' | 'drain-time-seconds'> &
  Partial<Pick<MeshSettings, 'max-connections'>>;

/** Where the DNS server listens; undefined: there is none. */
export function dnsPortOf(settings: Pick<MeshSettings, 'dns-port' | 'interception-mode'>): number | undefined {
  const { 'dns-port': given, 'interception-mode': mode } = settings;
  if (given !== undefined) return given === 'off' ? undefined : given;
  return mode === 'TPROXY' ? CAPTURE_PORTS.dns : undefined;
}

const SHORT: Readonly<Record<string, string>> = { '-c': '--config', '-h': '--help' };
const SWITCHES = new Set(['announce', 'behind-nat', 'close-on-expiry', 'help']);
const ADMIN_PORT = 15000;
const TOKENS: readonly string[] = ['join-token', 'join-token-file'];
const REPEATABLE = new Set(['app-port', 'control-plane', 'dns-upstream', 'labels']);
const KNOWN = new Set([...Object.keys(MeshFlags.shape), 'config', 'help']);

/**
 * @param words flags, and after `--` a command
 * @param environment TULLE_* replaces flags not given; a token's flag goes before both of its variables
 */
export function parseSettings(
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Parsed {
  const violations: string[] = [];
  const end = words.indexOf('--');
  const args = end < 0 ? words : words.slice(0, end);
  const [program, ...rest] = end < 0 ? [] : words.slice(end + 1);
  if (end >= 0 && !program) violations.push('--: names no command');
  const flags = readFlags(args, violations);
  if (flags['help']) return { kind: 'help' };
  const tokenGiven = TOKENS.some((flag) => flags[flag] !== undefined);
  const isStatic = flags['config'] !== undefined;
  const schema = isStatic ? StaticFlags : MeshFlags;
  for (const flag of Object.keys(schema.shape)) {
    const value = environment[`TULLE_${flag.toUpperCase().replaceAll('-', '_')}`];
    // `-c` is only ever requested on the command line: an exported variable must not turn a sidecar static.
    if (tokenGiven && TOKENS.includes(flag)) continue;
    if (flag !== 'config' && !SWITCHES.has(flag) && flags[flag] === undefined && value) flags[flag] = value;
  }
  if (TOKENS.every((flag) => flags[flag] !== undefined))
    violations.push(`--${TOKENS.join(', --')}: only one of them may be given`);
  const parsed = schema.safeParse(flags);
  if (!parsed.success) violations.push(...parsed.error.issues.map((issue) => describe(issue, isStatic)));
  if (violations.length > 0 || !parsed.success) return { kind: 'invalid', violations };
  const command: { command?: Command } = program ? { command: [program, ...rest] } : {};
  const settings = { ...parsed.data, defaultAdminPort: parsed.data.announce || program ? 0 : ADMIN_PORT };
  return isStatic
    ? { kind: 'static', settings: settings as StaticSettings, ...command }
    : { kind: 'mesh', settings: settings as MeshSettings, ...command };
}

/** `--flag value`, `--flag=value`. Values of secrets are never printed. */
function readFlags(args: readonly string[], violations: string[]): Record<string, string | true> {
  const flags: Record<string, string | true> = {};
  for (let at = 0; at < args.length; at++) {
    const [given, inline] = split(SHORT[args[at]!] ?? args[at]!);
    const flag = given.slice(2);
    if (!given.startsWith('--') || !KNOWN.has(flag)) {
      violations.push(`${given}: unknown argument (see --help)`);
      continue;
    }
    if (SWITCHES.has(flag)) {
      flags[flag] = true;
      continue;
    }
    const value = inline ?? args[++at];
    const before = flags[flag];
    if (value === undefined) violations.push(`${given}: needs a value`);
    else if (before === undefined) flags[flag] = value;
    else if (REPEATABLE.has(flag)) flags[flag] = `${before},${value}`;
    else violations.push(`${given}: is given twice`);
  }
  return flags;
}

function split(argument: string): [string, string | undefined] {
  const at = argument.indexOf('=');
  return at < 0 || !argument.startsWith('--') ? [argument, undefined] : [argument.slice(0, at), argument.slice(at + 1)];
}

function describe(issue: z.core.$ZodIssue, isStatic: boolean): string {
  if (issue.code === 'unrecognized_keys')
    return `--${issue.keys.join(', --')}: ${isStatic ? 'does not go with --config' : 'unknown'}`;
  return `--${issue.path.join('.')}: ${issue.message}`;
}
