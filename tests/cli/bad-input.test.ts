/** Errors of the environment: each reported in one line with the remedy, exit code 1, never a stack trace. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refusal, tulle, tulleCommand } from '../kit/command.ts';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { closedPort } from '../kit/ports.ts';
import { Program, type Ran } from '../kit/process.ts';
import { closeServers, listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { intermediate, leaf, pem, rootAuthority, x509 } from '../mtls/certificates.ts';

const HOUR_MS = 3_600_000;
const folder = temporaryFolder();
const at = (...name: string[]) => join(folder.path, ...name);
const mesh = new LoopbackMesh();
const parts: Program[] = [];
const servers: net.Server[] = [];
let taken = 0;
/** Created first, used last. */
const short = { token: '', expires: 0 };

function serve(server: net.Server): Promise<number> {
  servers.push(server);
  return listening(server);
}

/** A proxy's refusal: which runtime it is on, then one line. */
function refused(ran: Ran): string {
  const [first, ...rest] = refusal(ran, 2).split('\n');
  expect(first).toMatch(/^tulle: proxy on (node|bun|deno)$/);
  expect(rest).toHaveLength(1);
  return rest[0]!;
}

const proxyFlags = (name: string, account = 'a') => [
  ...['proxy', '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile, '--data', at('proxies', name)],
  ...['--name', name, '--service-account', account, '--ip', mesh.address(), '--outbound-bind', mesh.address()],
  ...['--admin-port', '0'],
];

/** Runs until the test has seen what it waits for. */
function proxy(flags: string[], env: Record<string, string> = {}): Program {
  const part = new Program('proxy', tulleCommand(...flags), { env });
  parts.push(part);
  return part;
}

const logged = (part: Program, pattern: RegExp) => part.line((line) => (pattern.test(line) ? line : undefined));
const noTrace = (part: Program) => expect(part.lines.filter((line) => /^\s+at |Error: /.test(line))).toEqual([]);

beforeAll(async () => {
  await mesh.startControl();
  taken = await serve(net.createServer());
  const wanted = { namespace: 'default', serviceAccount: 'a', ttlSeconds: 10 };
  short.token = (await mesh.api.call<{ token: string }>('POST', '/v1/join-tokens', wanted)).token;
  short.expires = Date.now() + 10_000;
});
afterAll(async () => {
  await Promise.all(parts.map((part) => part.stop()));
  await mesh.stop();
  closeServers(...servers);
  folder.dispose();
});

describe('tulle control refuses', () => {
  const control = (...flags: string[]) => tulle(['control', '--port', '0', ...flags]);

  it('a data folder that cannot be made, is a file, or is not its own', async () => {
    expect(refusal(await control('--data', '/proc/x'))).toContain('cannot make folder /proc/x');
    expect(refusal(await control('--data', '/dev/null/x'))).toContain('/dev/null is not a folder');
    mkdirSync(at('home'));
    writeFileSync(at('home', 'letters.txt'), '');
    expect(refusal(await control('--data', at('home')))).toBe(
      `tulle: data folder ${at('home')} holds other files ("letters.txt"): name an empty or new folder with --data`,
    );
  });

  it('a CA that is not valid yet, with both times', async () => {
    const root = await rootAuthority('root');
    const authority = await intermediate(root, 'later', 0, { notBefore: new Date(Date.now() + HOUR_MS) });
    mkdirSync(at('later'));
    writeFileSync(at('later', 'root-cert.pem'), pem(root));
    writeFileSync(at('later', 'ca-cert.pem'), pem(authority));
    writeFileSync(at('later', 'cert-chain.pem'), pem(authority));
    const key = await crypto.subtle.exportKey('pkcs8', authority.keys.privateKey);
    writeFileSync(at('later', 'ca-key.pem'), x509.PemConverter.encode(key, 'PRIVATE KEY'));
    expect(refusal(await control('--data', at('later-data'), '--ca-certs', at('later')))).toMatch(
      /ca-cert\.pem: .*is not valid before \S+, this machine.s clock is at \S+$/,
    );
  });
});

describe('join tokens', () => {
  it.each(RUNTIMES)('bad and used ones end a proxy (%s)', async (runtime) => {
    const join_ = (name: string, token: string) =>
      tulle([...proxyFlags(name), '--runtime', runtime], { env: { TULLE_JOIN_TOKEN: token } });
    const used = await mesh.joinToken('a');
    const madeUp = 'tulle.0000000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
    expect(refused(await join_(`bad-${runtime}`, madeUp))).toMatch(/join token is not known here.*tulle token create/);
    expect(refused(await join_(`none-${runtime}`, ''))).toMatch(
      /join with a new invitation .* or join token \("tulle token create"\)/,
    );
    const first = proxy([...proxyFlags(`used-${runtime}`), '--runtime', runtime, '--announce'], {
      TULLE_JOIN_TOKEN: used,
    });
    await first.announcement();
    expect(await first.stop()).toBe(0);
    expect(refused(await join_(`again-${runtime}`, used))).toMatch(/join token.*used.*tulle token create/);
  });

  it('a proxy with flags that contradict its certificate is refused', async () => {
    const env = { TULLE_JOIN_TOKEN: await mesh.joinToken('a') };
    const flags = proxyFlags('named');
    const first = proxy([...flags, '--announce'], env);
    await first.announcement();
    expect(await first.stop()).toBe(0);
    const held = 'spiffe://cluster.local/ns/default/sa/a';
    const way = 'or join again with another token and an empty --data folder';
    expect(refused(await tulle([...flags, '--trust-domain', 'other.example']))).toContain(
      `--trust-domain other.example: the certificate is of cluster.local (${held}); pass --trust-domain cluster.local, ${way}`,
    );
    expect(refused(await tulle([...flags, '--namespace', 'shop']))).toContain('pass --namespace default');
    const index = flags.indexOf('a');
    expect(refused(await tulle(flags.with(index, 'b')))).toContain('--service-account b: the certificate is of a');
    const again = proxy([...flags, '--trust-domain', 'cluster.local', '--announce']);
    await again.announcement();
    expect(await again.stop()).toBe(0);
  });
});

describe.each(RUNTIMES)('a proxy on %s', (runtime) => {
  const run = (...flags: string[]) => tulle(['proxy', '--runtime', runtime, ...flags]);
  const file = (name: string, text: string) => {
    writeFileSync(at(name), text);
    return at(name);
  };
  const bootstrap = (listener: object, admin = 0) =>
    JSON.stringify({
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: admin } } },
      static_resources: {
        listeners: [
          {
            name: 'l',
            address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
            filter_chains: [
              {
                filters: [
                  {
                    name: 'tcp',
                    typed_config: {
                      '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
                      stat_prefix: 'x',
                      cluster: 'c',
                    },
                  },
                ],
              },
            ],
            ...listener,
          },
        ],
      },
    });

  it('refuses a file that cannot be run', async () => {
    const of = async (text: string) => refused(await run('-c', file(`${runtime}.json`, text)));
    expect(refused(await run('-c', at('absent.json')))).toContain(`--config ${at('absent.json')}: no such file`);
    expect(await of('{')).toMatch(/^tulle proxy: --config \S+: not valid JSON/);
    expect(await of(bootstrap({ bind_two_ports: true }))).toMatch(/staticResources\.listeners\[0\].*bind_?two_?ports/i);
    const inUse = bootstrap({ address: { socket_address: { address: '127.0.0.1', port_value: taken } } });
    const portInUse = `cannot listen on 127.0.0.1:${taken}: the port is in use by another process; stop it or choose`;
    expect(await of(inUse)).toContain(`listeners/l: ${portInUse}`);
    expect(await of(bootstrap({}, taken))).toContain(portInUse);
  });

  it('refuses an invalid data folder and an invalid trust bundle', async () => {
    const base = ['--control-plane', mesh.url, '--join-token', 'x'];
    expect(refused(await run(...base, '--data', '/proc/x', '--trust-bundle', mesh.trustBundleFile))).toContain(
      '--data /proc/x: cannot be used',
    );
    const text = file('hostname', 'no certificate');
    expect(refused(await run(...base, '--data', at('d'), '--trust-bundle', text))).toContain(`--trust-bundle ${text}:`);
    expect(refused(await run(...base, '--data', at('d')))).toContain('pass --trust-bundle FILE');
  });

  it('reports that the control plane cannot be reached, and retries', async () => {
    const closed = await closedPort();
    const flags = ['--data', at(`away-${runtime}`), '--trust-bundle', mesh.trustBundleFile, '--join-token', 'x'];
    const part = proxy(['proxy', '--runtime', runtime, '--control-plane', `https://127.0.0.1:${closed}`, ...flags]);
    const line = await logged(part, /not joined yet/);
    expect(line).toMatch(new RegExp(`control plane 127\\.0\\.0\\.1:${closed}: .*refused.*; next attempt in`, 'i'));
    await until('a second attempt', () => part.lines.filter((one) => one.includes('not joined yet')).length >= 2);
    noTrace(part);
    expect(await part.stop()).toBe(0);
  });

  it('points at the clock where a certificate is not valid yet', async () => {
    const root = await rootAuthority('root');
    const own = await leaf(root, {
      uri: 'spiffe://x/control',
      notBefore: new Date(Date.now() + HOUR_MS),
      notAfter: new Date(Date.now() + 2 * HOUR_MS),
    });
    const port = await serve(tls.createServer({ cert: own.cert, key: own.key }));
    const roots = file(`roots-${runtime}.pem`, pem(root));
    const flags = ['--data', at(`skew-${runtime}`), '--trust-bundle', roots, '--join-token', 'x'];
    const part = proxy(['proxy', '--runtime', runtime, '--control-plane', `https://127.0.0.1:${port}`, ...flags]);
    expect(await logged(part, /not joined yet/)).toMatch(
      /certificate is not yet valid: from \S+, this machine's clock is at [^\s;]+; check the clocks of both machines/,
    );
    noTrace(part);
    expect(await part.stop()).toBe(0);
    const get = await tulle(['get', 'vs', '--server', `https://127.0.0.1:${port}`, '--ca-file', roots]);
    expect(refusal(get)).toContain('check the clocks of both machines');
  });

  it('ignores a damaged cache, and explains how to replace a damaged identity', async () => {
    const name = `damaged-${runtime}`;
    const flags = [...proxyFlags(name), '--runtime', runtime];
    const first = proxy([...flags, '--announce'], { TULLE_JOIN_TOKEN: await mesh.joinToken('a') });
    await first.announcement();
    expect(await first.stop()).toBe(0);
    const cache = at('proxies', name, 'config.journal');
    writeFileSync(cache, readFileSync(cache, 'utf8').replace('BlackHoleCluster', 'BlackHoleClusterr'));
    const second = proxy([...flags, '--announce']);
    await second.announcement();
    const ignored = `config cache ${cache} is ignored: its checksum does not match; config will come from the control plane`;
    expect(second.lines).toContainEqual(expect.stringMatching(/^\d{4}-\S+Z warn tulle: config cache /));
    expect(second.lines).toContainEqual(expect.stringContaining(ignored));
    noTrace(second);
    expect(await second.stop()).toBe(0);
    writeFileSync(at('proxies', name, 'identity.json'), '{"privateKey": "secret');
    const third = refusal(await tulle(flags), 3);
    expect(third).toMatch(
      /identity\.json cannot be used: the file is corrupt; join with a new invitation .*"tulle token create"/,
    );
    expect(third).not.toContain('secret');
  });
});

it.each(RUNTIMES)('an expired join token ends a proxy (%s)', async (runtime) => {
  await until('the token has expired', () => Date.now() > short.expires);
  const env = { TULLE_JOIN_TOKEN: short.token };
  expect(refused(await tulle([...proxyFlags(`short-${runtime}`), '--runtime', runtime], { env }))).toMatch(
    /join token has expired.*tulle token create/,
  );
});
