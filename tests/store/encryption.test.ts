/** Encryption at rest with real control planes: turned on for a mesh that has secrets, keys exchanged, wrong and missing keys. */
import { randomBytes } from 'node:crypto';
import { chmodSync, cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EtcdGateway } from '../../control/store/etcd/gateway.ts';
import { rangeOf } from '../../control/store/etcd/keys.ts';
import { refusal, tulle, tulleCommand } from '../kit/command.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { type EtcdCluster, etcdPrograms, startEtcd } from '../kit/etcd.ts';
import { Program } from '../kit/process.ts';

const folder = temporaryFolder();
afterAll(() => folder.dispose());
const path = (name: string) => join(folder.path, name);
const key = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
const [one, two] = [key('one'), key('two')];
function keyFile(name: string, ...lines: string[]): string {
  writeFileSync(path(name), `${lines.join('\n')}\n`, { mode: 0o600 });
  return path(name);
}
const withKeys = (name: string, ...lines: string[]) => ['--encryption-key-file', keyFile(name, ...lines)];

let program: Program | undefined;
let env: Record<string, string> = {};
afterEach(async () => {
  await program?.stop('SIGKILL');
});

const words = (data: string, flags: readonly string[]) => [
  'control',
  '--data',
  path(data),
  '--port',
  '0',
  '--announce',
  ...flags,
];

async function start(data: string, flags: readonly string[], environment?: Record<string, string>): Promise<void> {
  program = new Program('control', tulleCommand(...words(data, flags)), environment ? { env: environment } : {});
  const said = await program.announcement<{ url: string; adminToken?: string }>();
  env = {
    TULLE_SERVER: said.url,
    TULLE_TOKEN: said.adminToken ?? env['TULLE_TOKEN'] ?? '',
    TULLE_CA_FILE: path(`${data}/ca/root-cert.pem`),
  };
}
const stop = async () => expect(await program!.stop()).toBe(0);

async function write(password: string): Promise<void> {
  const input = `{apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {password: ${password}}}`;
  const { code, error } = await tulle(['apply', '-f', '-'], { env, input });
  expect(code, error).toBe(0);
}
async function read(): Promise<string> {
  const { out } = await tulle(['get', 'secret/key', '-o', 'jsonpath={.data.password}'], { env });
  return Buffer.from(out, 'base64').toString();
}

/** Files below a folder that hold a text, plain or in base64. */
function holding(data: string, ...texts: string[]): string[] {
  const names = readdirSync(path(data), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const needles = texts.flatMap((text) => [text, Buffer.from(text).toString('base64').replace(/=+$/, '')]);
  return names
    .filter((entry) => {
      const bytes = readFileSync(join(entry.parentPath, entry.name));
      return needles.some((needle) => bytes.includes(needle));
    })
    .map(({ name }) => name);
}

describe('encryption at rest', () => {
  it('leaves nothing readable of secrets and keys that were there before, and exchanges keys', async () => {
    await start('mesh', []);
    await write('first-password');
    await write('second-password');
    await tulle(['delete', 'secret', 'key'], { env });
    await write('third-password');
    const all = ['first-password', 'second-password', 'third-password'] as const;
    // The log of the database has it while the process runs.
    expect(holding('mesh', ...all)).toContain('resources.sqlite-wal');
    await stop();
    expect(holding('mesh', 'PRIVATE KEY').sort()).toEqual(
      ['ca-key.pem', 'jwt-key.pem', 'root-key.pem', 'service-account-key.pem'].sort(),
    );

    await start('mesh', withKeys('keys', one));
    expect(await read()).toBe('third-password');
    expect(holding('mesh', ...all, 'PRIVATE KEY')).toEqual([]);
    await write('fourth-password');
    const history = await tulle(['history', 'secret/key', '-o', 'json'], { env });
    expect(JSON.parse(history.out).revisions.length).toBe(5);
    expect(holding('mesh', ...all, 'fourth-password')).toEqual([]);
    // As a crash leaves it.
    await program!.stop('SIGKILL');
    expect(holding('mesh', ...all, 'fourth-password', 'PRIVATE KEY')).toEqual([]);

    await start('mesh', withKeys('both', two, one));
    expect(await read()).toBe('fourth-password');
    await stop();
    expect(program!.output).toContain('at rest with the key two: no value needs an older key (one) any more');
    expect(holding('mesh', 'tulle:enc:v1:one:')).toEqual([]);
    await start('mesh', withKeys('new', two));
    expect(await read()).toBe('fourth-password');
    await stop();
  });

  it('refuses wrong and missing keys at the start, and writes nothing then', async () => {
    await start('refused', withKeys('good', one));
    await write('a-password');
    await stop();
    cpSync(path('refused'), path('before'), { recursive: true });
    const contents = (data: string) =>
      readdirSync(path(data), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => [entry.name, readFileSync(join(entry.parentPath, entry.name)).toString('base64')])
        .sort();
    const failure = async (...flags: string[]) => {
      const said = refusal(await tulle(words('refused', flags)));
      expect(contents('refused')).toEqual(contents('before'));
      return said;
    };
    expect(await failure()).toMatch(/is encrypted with the key one: name it with --encryption-key-file/);
    expect(await failure(...withKeys('other', two))).toMatch(/key one, which is not among the encryption keys \(two\)/);
    expect(await failure(...withKeys('false', one.replace(/:.*/, two.replace(/.*?:/, ':'))))).toContain(
      'the key is another one',
    );
    expect(await failure(...withKeys('broken', 'one:abc'))).toContain('line 1 must be ID:KEY');
    expect(await failure('--encryption-key-file', path('absent'))).toContain('no such file');
    expect(await failure('--encryption-key-command', 'echo no KMS >&2; exit 3')).toContain('exit code 3: no KMS');
    chmodSync(keyFile('open', one), 0o644);
    expect(await failure('--encryption-key-file', path('open'))).toContain('is open to other users');
  });

  it('takes keys from a command and from a systemd credential', async () => {
    await start('sources', ['--encryption-key-command', `cat ${keyFile('printed', one)}`]);
    await write('a-password');
    await stop();
    keyFile('tulle-encryption-keys', two, one);
    await start('sources', [], { CREDENTIALS_DIRECTORY: folder.path });
    expect(await read()).toBe('a-password');
    await stop();
    expect(holding('sources', 'tulle:enc:v1:one:', 'a-password')).toEqual([]);
    expect(holding('sources', 'tulle:enc:v1:two:')).toContain('resources.sqlite');
  });

  describe.skipIf(!etcdPrograms)('in etcd', () => {
    let cluster: EtcdCluster;
    beforeAll(async () => {
      cluster = await startEtcd(folder.path, { size: 1 });
    });
    afterAll(() => cluster?.stop());

    it('encrypts what was there before, and what is written', async () => {
      const store = ['--store', `etcd://${cluster.endpoints[0]!.slice('http://'.length)}/sealed`];
      const stored = async () => {
        const gateway = new EtcdGateway(cluster.settings);
        const { answer } = await gateway.call<{ kvs: { value?: string }[] }>('/v3/kv/range', rangeOf('/sealed/'));
        gateway.close();
        return answer.kvs.map(({ value = '' }) => Buffer.from(value, 'base64').toString('latin1')).join('\n');
      };
      const shown = (password: string) => Buffer.from(password).toString('base64').replace(/=+$/, '');
      await start('remote', store);
      await write('plain-password');
      await stop();
      expect(await stored()).toContain(shown('plain-password'));
      await start('remote', [...store, ...withKeys('remote-keys', one)]);
      expect(await read()).toBe('plain-password');
      await write('other-password');
      const now = await stored();
      for (const password of ['plain-password', 'other-password']) expect(now).not.toContain(shown(password));
      expect(now.match(/tulle:enc:v1:one:/g)!.length).toBeGreaterThanOrEqual(3);
      expect(await read()).toBe('other-password');
      await stop();
      expect(refusal(await tulle(words('remote', store)))).toMatch(/encrypted with the key one: name it/);
    });
  });
});
