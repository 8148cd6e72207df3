/** `tulle control` and the commands that talk to it, as processes over TLS. kubectl: tests/interop/kubectl/kubectl.test.ts. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ControlApi } from '../../control/cli/connection.ts';
import { kubeconfig, saveKubeconfig } from '../../control/cli/kubeconfig/write.ts';
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

/** What `get vs` says on stderr when there is none, as kubectl does. */
async function noneFound(...flags: string[]): Promise<string> {
  const { code, out, error } = await cli('get', 'vs', ...flags);
  expect({ code, out }).toEqual({ code: 0, out: '' });
  return error;
}

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
    expect(await apply(route('shown'), '--dry-run')).toBe(`${name} created (server dry run)\n`);
    expect(refusal(await cli('get', 'vs', 'shown'))).toContain('"shown" not found');
    expect(await apply(route('shown'))).toBe(`${name} created\n`);
    expect(await apply(route('shown'))).toBe(`${name} unchanged\n`);
    expect(await apply(route('shown', 'ratings'))).toBe(`${name} configured\n`);
    expect(succeeded(await cli('get', 'vs'))).toMatch(
      /^NAME +GATEWAYS +HOSTS +AGE +CONDITION\nshown +\["ratings"\] +\d+s *\n$/,
    );
    expect(succeeded(await cli('get', 'vs', '-A'))).toMatch(/^NAMESPACE +NAME .*\ndefault +shown /);
    expect(succeeded(await cli('get', 'virtualservices', 'shown', '-o', 'yaml'))).toContain('hosts:\n    - ratings\n');
    const list = JSON.parse(succeeded(await cli('get', 'vs', '-o', 'json'))) as { items: unknown[] };
    expect(list.items).toHaveLength(1);
    expect(succeeded(await cli('delete', 'vs', 'shown'))).toBe('virtualservice "shown" deleted\n');
    expect(refusal(await cli('delete', 'vs', 'shown'))).toContain('not found');
    expect(await noneFound()).toBe('No resources found in default namespace.\n');
  });

  it('writes nothing when one of many is invalid, and prints every violation', async () => {
    const bad = route('two', 'x', { htpp: [], timeout: 1 });
    const ran = await cliWith(`${route('one')}---\n${bad}---\n${route('three')}`, 'apply', '-f', '-');
    const message = refusal(ran, 2);
    expect(message).toContain('VirtualService two: spec.htpp');
    expect(message).toContain('VirtualService two: spec.timeout');
    expect(await noneFound('-A')).toBe('No resources found.\n');
  });

  it('writes nothing when only the server refuses one of many, and names it', async () => {
    const elsewhere = route('two').replace('metadata:', 'metadata:\n  namespace: nowhere');
    writeFileSync(at('set.yaml'), `${route('one')}---\n${elsewhere}---\n${route('three')}`);
    for (const more of [[], ['--dry-run']]) {
      const message = refusal(await cli('apply', '-f', at('set.yaml'), ...more), 2).split('\n');
      expect(message[0]).toMatch(
        /set\.yaml:\d+: VirtualService two: namespaces "nowhere" not found: add a Namespace resource named nowhere to the files/,
      );
      expect(message[1]).toBe('nothing was written');
    }
    expect(await noneFound('-A')).toBe('No resources found.\n');
  });

  it('creates namespaces first, in any order of files', async () => {
    const inShop = route('one').replace('metadata:', 'metadata:\n  namespace: shop');
    const namespace = stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    const vs = 'virtualservice.networking.istio.io/one';
    const set = `${inShop}---\n${namespace}`;
    expect(succeeded(await cliWith(set, 'apply', '--dry-run', '-f', '-'))).toBe(
      `namespace/shop created (server dry run)\n${vs} created (server dry run)\n`,
    );
    expect(succeeded(await cliWith(set, 'apply', '-f', '-'))).toBe(`namespace/shop created\n${vs} created\n`);
    expect(succeeded(await cliWith(set, 'apply', '-f', '-'))).toBe(`namespace/shop unchanged\n${vs} unchanged\n`);
    // Resources deleted with the namespace need not be deleted again.
    expect(succeeded(await cliWith(set, 'delete', '-f', '-'))).toMatch(/"one" deleted\n.*"shop" deleted\n/);
    expect(await noneFound('-A')).toBe('No resources found.\n');
  });

  it('deletes what files name', async () => {
    writeFileSync(at('two.yaml'), `${route('one')}---\n${route('two')}`);
    succeeded(await cli('apply', '-f', at('two.yaml')));
    expect(succeeded(await cli('delete', '-f', at('two.yaml')))).toMatch(/"one" deleted\n.*"two" deleted\n/);
  });

  it('keeps what others wrote, and removes what the file no longer says', async () => {
    const merge = (spec: string) => cliWith(spec, 'apply', '-f', '-');
    const labelled = (labels: object) => stringify({ ...parse(route('kept')), metadata: { name: 'kept', labels } });
    succeeded(await merge(labelled({ mine: 'a', old: 'b' })));
    const other = { metadata: { labels: { theirs: 'c' }, annotations: { 'example.com/note': 'd' } } };
    const api = new ControlApi(url, token, readFileSync(join(data, 'ca/root-cert.pem'), 'utf8'));
    const path = '/apis/networking.istio.io/v1/namespaces/default/virtualservices/kept';
    await api.call('PATCH', path, other, 'application/merge-patch+json');
    expect(succeeded(await merge(labelled({ mine: 'e' })))).toContain('configured');
    const { metadata } = await api.call<{ metadata: Record<string, Record<string, string>> }>('GET', path);
    expect(metadata['labels']).toEqual({ mine: 'e', theirs: 'c' });
    expect(metadata['annotations']).toMatchObject({ 'example.com/note': 'd' });
    expect(succeeded(await merge(labelled({ mine: 'e' })))).toContain('unchanged');
    succeeded(await cli('delete', 'vs/kept'));
  });

  it('warns where the resource was not written by apply', async () => {
    const api = new ControlApi(url, token, readFileSync(join(data, 'ca/root-cert.pem'), 'utf8'));
    await api.call('POST', '/apis/networking.istio.io/v1/namespaces/default/virtualservices', parse(route('posted')));
    const { code, error } = await cliWith(route('posted', 'ratings'), 'apply', '-f', '-');
    expect(code).toBe(0);
    expect(error).toMatch(/^Warning: -:1: virtualservice\S+posted was not written by apply .*\n$/);
    succeeded(await cli('delete', 'vs', 'posted'));
  });

  it('selects by several types, TYPE/NAME, labels, and prints as kubectl does', async () => {
    const labelled = stringify({ ...parse(route('a')), metadata: { name: 'a', labels: { app: 'x' } } });
    succeeded(await cliWith(`${labelled}---\n${route('b')}`, 'apply', '-f', '-'));
    const get = async (...args: string[]) => succeeded(await cli('get', ...args));
    const name = (each: string) => `virtualservice.networking.istio.io/${each}\n`;
    expect(await get('vs,dr', '-o', 'name')).toBe(name('a') + name('b'));
    expect(await get('vs/a', 'vs/b', '-o', 'name')).toBe(name('a') + name('b'));
    expect(await get('vs', '-l', 'app=x', '-o', 'name')).toBe(name('a'));
    expect(await get('vs', 'a', '-o', 'jsonpath={.spec.hosts[0]}')).toBe('reviews');
    expect(await get('vs', '-o', 'jsonpath={range .items[*]}{.metadata.name};{end}')).toBe('a;b;');
    expect(await get('vs', '-o', 'wide', '--no-headers')).toMatch(/^a .*\nb .*\n$/);
    const some = await cli('get', 'vs', 'a', 'absent', '-o', 'name');
    expect(some).toMatchObject({ code: 1, out: name('a') });
    expect(some.error).toContain('"absent" not found');
    expect(await get('vs', 'absent', '--ignore-not-found')).toBe('');
    expect(refusal(await cli('get', 'vs/a', 'b'))).toContain('must be TYPE/NAME');
    expect(refusal(await cli('get', 'vs', '-o', 'xml'))).toContain('-o xml: must be one of table, wide, name');
    expect(succeeded(await cli('describe', 'vs', 'a'))).toMatch(
      /^Name: +a\nNamespace: +default\nLabels: +app=x\nAnnotations: +<none>\n[\s\S]*Spec:\n {2}Hosts:\n {4}reviews\n/,
    );
    expect(refusal(await cli('delete', 'vs'))).toContain('name the resources, or select them with -l, or pass --all');
    expect(succeeded(await cli('delete', 'vs', '-l', 'app=x'))).toBe('virtualservice "a" deleted\n');
    expect(succeeded(await cli('delete', 'vs', 'a', 'b', '--ignore-not-found'))).toBe('virtualservice "b" deleted\n');
  });

  it('prints changes with -w until it is interrupted', async () => {
    const watching = new Program('watch', tulleCommand('get', 'vs', '-w', '-o', 'name'), {
      env: { TULLE_KUBECONFIG: config },
    });
    parts.push(watching);
    const seen = (name: string) => watching.line((line) => (line.endsWith(`/${name}`) ? line : undefined));
    succeeded(await cliWith(route('first'), 'apply', '-f', '-'));
    await seen('first');
    succeeded(await cliWith(route('second'), 'apply', '-f', '-'));
    await seen('second');
    await watching.stop();
    succeeded(await cli('delete', 'vs', 'first', 'second'));
  });

  it('reads folders within folders with -R only, and says what it leaves out', async () => {
    mkdirSync(at('tree', 'deep'), { recursive: true });
    writeFileSync(at('tree', 'one.yaml'), route('one'));
    writeFileSync(at('tree', 'deep', 'two.yaml'), route('two'));
    const flat = await cli('apply', '-f', at('tree'));
    expect(flat).toMatchObject({ code: 0, out: 'virtualservice.networking.istio.io/one created\n' });
    expect(flat.error).toContain('1 file in folders below it not read: -R reads them');
    expect(succeeded(await cli('apply', '-R', '-f', at('tree')))).toContain('two created');
    expect(succeeded(await cli('delete', '-R', '-f', at('tree')))).toMatch(/"two" deleted\n.*"one" deleted\n/);
  });

  it('reads KUBECONFIG, contexts and their namespace', async () => {
    const ca = readFileSync(join(data, 'ca/root-cert.pem')).toString('base64');
    const cluster = { server: url, 'certificate-authority-data': ca };
    writeFileSync(
      at('clusters'),
      stringify({ clusters: [{ name: 'c', cluster }], users: [{ name: 'u', user: { token } }] }),
    );
    const context = (name: string, namespace: string) => ({ name, context: { cluster: 'c', user: 'u', namespace } });
    writeFileSync(
      at('contexts'),
      stringify({ contexts: [context('one', 'default'), context('two', 'other')], 'current-context': 'two' }),
    );
    const env = { TULLE_KUBECONFIG: undefined, KUBECONFIG: `${at('absent')}:${at('clusters')}:${at('contexts')}` };
    expect((await tulle(['get', 'vs'], { env })).error).toBe('No resources found in other namespace.\n');
    expect((await tulle(['get', 'vs', '--context', 'one'], { env })).error).toContain('in default namespace');
    expect(refusal(await tulle(['get', 'vs', '--context', 'three'], { env }))).toContain('--context three: is not in');
    writeFileSync(at('exec'), stringify({ users: [{ name: 'u', user: { exec: { command: 'aws' } } }] }));
    const withExec = { ...env, KUBECONFIG: `${at('exec')}:${env.KUBECONFIG}` };
    expect(refusal(await tulle(['get', 'vs'], { env: withExec }))).toContain(
      'kubeconfig user u: exec: is not supported',
    );
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
