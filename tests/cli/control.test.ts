/** `tulle control` and the commands that talk to it, as processes over TLS. kubectl: tests/interop/kubectl.test.ts. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { kubeconfig, saveKubeconfig } from '../../control/cli/kubeconfig.ts';
import { refusal, tulle, tulleCommand } from '../kit/command.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { Program, type Ran } from '../kit/process.ts';
import { leaf, rootAuthority } from '../mtls/certificates.ts';

const folder = temporaryFolder();
const at = (...name: string[]) => join(folder.path, ...name);
const data = at('data');
const config = at('home', 'kubeconfig');
const parts: Program[] = [];
let control: Program;
let url = '';
let token = '';

function start(...flags: string[]): Program {
  const part = new Program('control', tulleCommand('control', '--data', data, '--port', '0', ...flags));
  parts.push(part);
  return part;
}

const after = (prefix: string) => (line: string) => (line.startsWith(prefix) ? line.slice(prefix.length) : undefined);
const URL_LINE = after('control API at ');
const TOKEN_LINE = after('admin token (shown this once, kept hashed): ');

/** The CLI with the kubeconfig that `tulle kubeconfig --save` wrote. */
const cli = (...args: string[]) => tulle(args, { env: { TULLE_KUBECONFIG: config } });
const cliWith = (input: string, ...args: string[]) => tulle(args, { input, env: { TULLE_KUBECONFIG: config } });
const saveConfig = () => {
  const args = ['--server', url, '--token', token, '--ca-file', join(data, 'ca/root-cert.pem'), '--save'];
  return cli('kubeconfig', ...args);
};
const succeeded = (ran: Ran): string => {
  expect(ran).toMatchObject({ code: 0, error: '' });
  return ran.out;
};

const route = (name: string, host = 'reviews', spec = {}) =>
  stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name },
    spec: { hosts: [host], http: [{ route: [{ destination: { host } }] }], ...spec },
  });

beforeAll(async () => {
  control = start();
  url = await control.line(URL_LINE);
  token = await control.line(TOKEN_LINE);
  succeeded(await saveConfig());
});

afterAll(async () => {
  await Promise.all(parts.map((part) => part.stop()));
  folder.dispose();
});

describe('tulle control', () => {
  it('keeps its data readable by its user only, and the admin token hashed', () => {
    expect(statSync(data).mode & 0o777).toBe(0o700);
    for (const entry of readdirSync(data, { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      const readable = /-cert\.pem$|cert-chain\.pem$/.test(entry.name);
      if (!readable) expect(statSync(file).mode & 0o077, file).toBe(0);
      if (entry.isFile()) expect(readFileSync(file).includes(token), file).toBe(false);
    }
    const hash = createHash('sha256').update(token).digest('hex');
    expect(readFileSync(join(data, 'admin-token.sha256'), 'utf8').trim()).toBe(hash);
  });

  it('refuses a port in use, and data another process holds', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((listening) => other.once('listening', listening));
    const { port } = other.address() as { port: number };
    const ran = await tulle(['control', '--data', at('other'), '--port', String(port)]);
    other.close();
    expect(refusal(ran)).toContain(`port ${port}: the port is in use`);
    // A failed start does not consume the token: the first successful start prints it.
    const first = new Program('first', tulleCommand('control', '--data', at('other'), '--port', '0'));
    parts.push(first);
    await first.line((line) => /^admin token .*: tulle_/.exec(line)?.[0]);
    expect(await first.stop()).toBe(0);
    expect(refusal(await tulle(['control', '--data', data, '--port', '0']))).toContain('in use by another process');
  });

  it.each([
    [['--svid-ttl', '5x'], '--svid-ttl 5x: must be a duration such as 24h'],
    [['--svid-ttl', '1s'], '--svid-ttl 1s: must be 10s to 2160h'],
    [['--max-svid-ttl', '2161h'], '--max-svid-ttl 2161h: must be 10s to 2160h'],
    [['--svid-ttl', '2h', '--max-svid-ttl', '1h'], '--max-svid-ttl 1h: must not be shorter than --svid-ttl, 2h'],
    [['--port', '99999'], '--port 99999: must be 0 to 65535'],
    [['--ca-certs', '/no/such/folder'], '--ca-certs /no/such/folder: has no root-cert.pem'],
  ])('refuses %j', async (flags, message) => {
    expect(refusal(await tulle(['control', '--data', at('flags'), '--port', '0', ...flags]))).toContain(message);
  });

  it('refuses a broken CA', async () => {
    mkdirSync(at('ca'));
    for (const name of ['root-cert.pem', 'ca-cert.pem', 'ca-key.pem', 'cert-chain.pem'])
      writeFileSync(at('ca', name), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    const ran = await tulle(['control', '--data', at('broken'), '--port', '0', '--ca-certs', at('ca')]);
    expect(refusal(ran)).toContain('.pem');
  });
});

describe('reaching the control API', () => {
  const direct = (...more: string[]) => tulle(['get', 'vs', ...more]);

  it('names the missing or wrong setting, with the remedy', async () => {
    const ca = ['--ca-file', join(data, 'ca/root-cert.pem')];
    expect(refusal(await direct())).toContain('no control API is named');
    expect(refusal(await direct('--server', 'http://127.0.0.1'))).toContain('must be an https:// URL');
    expect(refusal(await direct('--server', 'https://127.0.0.1:1'))).toContain('is "tulle control" running there?');
    expect(refusal(await direct('--server', url, '--token', token))).toContain('not trusted: pass --ca-file');
    expect(refusal(await direct('--server', url, '--token', 'tulle_bad', ...ca))).toContain(
      'Unauthorized (pass --token',
    );
    expect(refusal(await direct('--server', url, ...ca))).toContain('Unauthorized');
    expect(refusal(await direct('--server', url, '--ca-file', at('absent')))).toContain('--ca-file');
    writeFileSync(at('config.yaml'), 'a: [');
    expect(refusal(await direct('--kubeconfig', at('config.yaml')))).toContain('config.yaml: is not YAML');
  });

  it('writes the kubeconfig readable by its user only', () => {
    expect(statSync(config).mode & 0o777).toBe(0o600);
    const open = at('open-kubeconfig');
    writeFileSync(open, '', { mode: 0o644 });
    saveKubeconfig(open, kubeconfig('https://localhost:1', 'CA', 'TOKEN'));
    expect(statSync(open).mode & 0o777).toBe(0o600);
    expect(readFileSync(open, 'utf8')).toContain('TOKEN');
  });
});

describe('apply, get, delete', () => {
  it('creates, configures, leaves unchanged, shows and deletes', async () => {
    const apply = async (yaml: string, ...more: string[]) =>
      succeeded(await cliWith(yaml, 'apply', '-f', '-', ...more));
    const name = 'virtualservice.networking.istio.io/shown';
    expect(await apply(route('shown'), '--dry-run')).toBe(`${name} created (dry run)\n`);
    expect(refusal(await cli('get', 'vs', 'shown'))).toContain('"shown" not found');
    expect(await apply(route('shown'))).toBe(`${name} created\n`);
    expect(await apply(route('shown'))).toBe(`${name} unchanged\n`);
    expect(await apply(route('shown', 'ratings'))).toBe(`${name} configured\n`);
    expect(succeeded(await cli('get', 'vs'))).toMatch(/^NAME +GATEWAYS +HOSTS +AGE\nshown +\["ratings"\] +\d+s\n$/);
    expect(succeeded(await cli('get', 'vs', '-A'))).toMatch(/^NAMESPACE +NAME .*\ndefault +shown /);
    expect(succeeded(await cli('get', 'virtualservices', 'shown', '-o', 'yaml'))).toContain('hosts:\n    - ratings\n');
    const list = JSON.parse(succeeded(await cli('get', 'vs', '-o', 'json'))) as { items: unknown[] };
    expect(list.items).toHaveLength(1);
    expect(succeeded(await cli('delete', 'vs', 'shown'))).toBe('virtualservice "shown" deleted\n');
    expect(refusal(await cli('delete', 'vs', 'shown'))).toContain('not found');
    expect(succeeded(await cli('get', 'vs'))).toContain('No resources found');
  });

  it('writes nothing when one of many is invalid, and prints every violation', async () => {
    const bad = route('two', 'x', { htpp: [], timeout: 1 });
    const ran = await cliWith(`${route('one')}---\n${bad}---\n${route('three')}`, 'apply', '-f', '-');
    const message = refusal(ran, 2);
    expect(message).toContain('VirtualService two: spec.htpp');
    expect(message).toContain('VirtualService two: spec.timeout');
    expect(succeeded(await cli('get', 'vs', '-A'))).toContain('No resources found');
  });

  it('writes nothing when only the server refuses one of many, and names it', async () => {
    const elsewhere = route('two').replace('metadata:', 'metadata:\n  namespace: nowhere');
    writeFileSync(at('set.yaml'), `${route('one')}---\n${elsewhere}---\n${route('three')}`);
    for (const more of [[], ['--dry-run']]) {
      const message = refusal(await cli('apply', '-f', at('set.yaml'), ...more), 2).split('\n');
      expect(message[0]).toMatch(/set\.yaml:\d+: VirtualService two: namespaces "nowhere" not found$/);
      expect(message[1]).toBe('nothing was written');
    }
    expect(succeeded(await cli('get', 'vs', '-A'))).toContain('No resources found');
  });

  it('creates namespaces first, in any order of files', async () => {
    const inShop = route('one').replace('metadata:', 'metadata:\n  namespace: shop');
    const namespace = stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    const vs = 'virtualservice.networking.istio.io/one';
    const set = `${inShop}---\n${namespace}`;
    expect(succeeded(await cliWith(set, 'apply', '--dry-run', '-f', '-'))).toBe(
      `namespace/shop created (dry run)\n${vs} created (dry run)\n`,
    );
    expect(succeeded(await cliWith(set, 'apply', '-f', '-'))).toBe(`namespace/shop created\n${vs} created\n`);
    expect(succeeded(await cliWith(set, 'apply', '-f', '-'))).toBe(`namespace/shop unchanged\n${vs} unchanged\n`);
    // Resources deleted with the namespace need not be deleted again.
    expect(succeeded(await cliWith(set, 'delete', '-f', '-'))).toMatch(/"one" deleted\n.*"shop" deleted\n/);
    expect(succeeded(await cli('get', 'vs', '-A'))).toContain('No resources found');
  });

  it('deletes what files name', async () => {
    writeFileSync(at('two.yaml'), `${route('one')}---\n${route('two')}`);
    succeeded(await cli('apply', '-f', at('two.yaml')));
    expect(succeeded(await cli('delete', '-f', at('two.yaml')))).toMatch(/"one" deleted\n.*"two" deleted\n/);
  });

  it('refuses an unknown type', async () => {
    expect(refusal(await cli('get', 'pods'))).toContain('unknown resource type "pods"');
  });
});

describe('join tokens', () => {
  const join_ = (value: string, name: string) =>
    tulle(
      [
        ...['proxy', '--runtime', 'node', '--control-plane', url, '--trust-bundle', join(data, 'ca/root-cert.pem')],
        ...['--data', at('proxies', name), '--name', name, '--service-account', 'a', '--ip', '127.0.0.1'],
        ...['--admin-port', '0'],
      ],
      { env: { TULLE_JOIN_TOKEN: value } },
    );

  it('are made for one service account', async () => {
    expect(succeeded(await cli('token', 'create', '--service-account', 'a'))).toMatch(/^tulle\.\S+\n$/);
    const made = JSON.parse(succeeded(await cli('token', 'create', '--service-account', 'a', '-o', 'json'))) as object;
    expect(made).toMatchObject({ token: expect.stringMatching(/^tulle\./) });
    expect(refusal(await cli('token', 'create', '--service-account', 'a', '--ttl', 'soon'))).toContain('--ttl soon');
    expect(refusal(await cli('token', 'create', '--service-account', 'A b'))).toContain('serviceAccount');
  });

  it('a bad one ends the proxy with a clear line', async () => {
    const ran = await join_('tulle.0000000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'bad');
    expect(refusal(ran, 3)).toMatch(/join token/i);
  });
});

describe('proxy-status and proxy-config', () => {
  it('report no proxies, and refuse unknown ones', async () => {
    expect(succeeded(await cli('proxy-status'))).toBe('No proxies are connected.\n');
    expect(refusal(await cli('proxy-config', 'routes', 'unknown'))).toContain('no proxy "unknown" is known');
    expect(refusal(await cli('proxy-config', 'foo', 'unknown'))).toContain('must be one of');
  });
});

describe('the second start', () => {
  it('ends with 0 on SIGTERM, keeps resources, and does not show the token again', async () => {
    succeeded(await cliWith(route('kept'), 'apply', '-f', '-'));
    expect(await control.stop()).toBe(0);
    control = start();
    url = await control.line(URL_LINE);
    succeeded(await saveConfig());
    expect(succeeded(await cli('get', 'vs', 'kept', '-o', 'yaml'))).toContain('name: kept');
    expect(control.lines.filter((line) => /token/i.test(line))).toEqual([]);
  });
});

it('keeps serving when its log has no reader', async () => {
  const stranger = await leaf(await rootAuthority('stranger'), { uri: 'spiffe://cluster.local/ns/default/sa/a' });
  const knock = () =>
    new Promise<void>((closed) => {
      const options = { host: '127.0.0.1', port: Number(new URL(url).port), rejectUnauthorized: false, ...stranger };
      connect(options)
        .on('error', () => {})
        .on('close', () => closed());
    });
  await knock();
  await control.line((line) => (line.includes('refused client certificate') ? line : undefined));
  control.process.stderr!.destroy();
  for (let i = 0; i < 3; i++) await knock();
  expect(succeeded(await cli('get', 'vs', 'kept'))).toContain('kept');
});
