/** `tulle run`: sidecar first, application second, signals and exit codes passed on. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { tulle } from '../kit/command.ts';
import { LINUX, ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import type { Program } from '../kit/process.ts';
import { get } from './shop-mesh.ts';

/** Asks the sidecar it was given, tells what it saw, and exits 7 on SIGTERM. */
const APP = `
const proxy = new URL(process.env.http_proxy);
const headers = { 'proxy-authorization': 'Basic ' + Buffer.from(proxy.username + ':' + proxy.password).toString('base64') };
const ask = require('node:http').get({ host: proxy.hostname, port: proxy.port, path: 'http://unserved.example:81/', headers, agent: false },
  (answer) => { answer.resume(); console.log('app: sidecar ' + proxy.port + ' answers ' + answer.statusCode); });
ask.on('error', (error) => console.log('app: ' + error.message));
process.on('SIGTERM', () => { console.log('app: SIGTERM'); process.exit(7); });
setInterval(() => {}, 1000);
`;

const ACCESS_LOG = `
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: "accessLogFile: /dev/stdout" }
`;

/** How the join token is given; absent: in TULLE_JOIN_TOKEN. */
interface Token {
  given?: (secret: string) => { before?: string[]; flags?: string[]; environment?: Record<string, string> };
}

describe('tulle run', () => {
  const mesh = new LoopbackMesh();
  beforeAll(() => mesh.startControl());
  afterAll(() => mesh.stop());

  async function run(
    runtime: RuntimeName,
    name: string,
    app: string,
    choose = false,
    token: Token = {},
  ): Promise<{ part: Program; ports: number[]; secret: string }> {
    const ports = await freePorts(2);
    const [httpProxyPort, adminPort] = ports;
    const command = [nodeBinary(), '--disable-warning=ExperimentalWarning', `${ROOT}/control/cli/main.ts`, 'run'];
    const flags = ['--runtime', runtime, '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile];
    const own = ['--data', `${mesh.folder}/${name}`, '--name', name, '--ip', mesh.address(), '--drain-seconds', '1'];
    const at = [...(choose ? [] : ['--http-proxy-port', `${httpProxyPort}`]), '--admin-port', `${adminPort}`];
    const secret = await mesh.joinToken('default');
    const { before = [], flags: more = [], environment = { TULLE_JOIN_TOKEN: secret } } = token.given?.(secret) ?? {};
    const words = [...before, ...command, ...flags, ...own, ...at, ...more, '--', nodeBinary(), '-e', app];
    return { part: mesh.launch(name, words, environment), ports, secret };
  }

  it.each(RUNTIMES)(
    'gives the application a ready sidecar, forwards SIGTERM, ends with its exit code (%s)',
    async (runtime) => {
      const { part, ports } = await run(runtime, `run-${runtime}`, APP);
      const line = await part.line((text) => (text.startsWith('app: ') ? text : undefined));
      expect(line).toMatch(new RegExp(`^app: sidecar ${ports[0]} answers \\d{3}$`));
      expect((await get({ host: '127.0.0.1', port: ports[1]!, path: '/ready' })).status).toBe(200);
      part.process.kill('SIGTERM');
      expect(await part.exited).toBe(7);
      expect(part.lines).toContain('app: SIGTERM');
      await expect(get({ host: '127.0.0.1', port: ports[1]!, path: '/ready' })).rejects.toThrow('ECONNREFUSED');
    },
  );

  it.each(RUNTIMES)(
    'ends with the exit code of an application that ends by itself, and takes the sidecar along (%s)',
    async (runtime) => {
      const app = APP.replace('answer.resume();', 'answer.resume(); setImmediate(() => process.exit(3));');
      const once = async () => {
        const { part, ports } = await run(runtime, `run-short-${runtime}`, app, true);
        expect(await part.exited).toBe(3);
        await expect(get({ host: '127.0.0.1', port: ports[1]!, path: '/ready' })).rejects.toThrow('ECONNREFUSED');
        return part.lines.find((text) => text.startsWith('app: '));
      };
      const line = await once();
      expect(line).toMatch(/^app: sidecar 2\d{4} answers \d{3}$/);
      // The port was chosen, and is kept: with the control plane away, the listener is where the disk cache says.
      expect(await once()).toBe(line);
    },
  );

  it.skipIf(!LINUX).each(RUNTIMES)(
    'is one process, and the join token is in no environment and no command line, used or not (%s)',
    async (runtime) => {
      const file = `${mesh.folder}/token-${runtime}`;
      const ways: Record<string, Token['given']> = {
        environment: (secret) => ({ environment: { TULLE_JOIN_TOKEN: secret } }),
        flag: (secret) => ({ flags: ['--join-token', secret], environment: {} }),
        file: (secret) => {
          writeFileSync(file, `${secret}\n`);
          return { flags: ['--join-token-file', file], environment: {} };
        },
        descriptor: (secret) => ({
          before: ['sh', '-c', `exec "$@" 5<<END\n${secret}\nEND\n`, 'sh'],
          flags: ['--join-token-file', '/dev/fd/5'],
          environment: {},
        }),
      };
      const app = `process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000); console.log('app: ' + process.ppid);`;
      // How a token is read is the same on every runtime, but for the descriptor of a pipe.
      for (const [way, given] of Object.entries(ways).filter(([way]) => runtime === 'node' || way === 'environment'))
        for (const use of ['used', 'not used']) {
          const { part, secret } = await run(runtime, `token-${runtime}-${way}`, app, true, { given });
          const parent = await part.line((text) => /^app: (\d+)$/.exec(text)?.[1]);
          expect(parent, 'the sidecar is the process that was started').toBe(String(part.process.pid));
          const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ');
          expect(children).toHaveLength(1);
          for (const pid of [parent, ...children])
            for (const what of ['environ', 'cmdline']) {
              const text = readFileSync(`/proc/${pid}/${what}`, 'latin1');
              expect(text.includes(secret), `${way}, ${use}: ${what} of ${pid}`).toBe(false);
              expect(text).not.toContain('TULLE_JOIN_TOKEN=');
            }
          expect(part.lines.some((line) => line.includes('join token not used'))).toBe(use === 'not used');
          expect(part.lines.join('\n')).not.toContain(secret);
          expect(await part.stop()).toBe(0);
        }
    },
  );

  it.each(RUNTIMES)('leaves standard output to the application (%s)', async (runtime) => {
    await mesh.apply(ACCESS_LOG);
    const app = `
      console.log('app: out');
      const ask = require('node:http').get({ host: '127.0.0.1', port: new URL(process.env.http_proxy).port, path: 'http://unserved.example:81/logged', agent: false },
        (answer) => answer.resume().on('end', () => process.exit(0)));`;
    const log = `${mesh.folder}/access-${runtime}.log`;
    for (const file of [undefined, log]) {
      const flags = file ? ['--log-file', file, '--concurrency', '2'] : ['--concurrency', '2'];
      const given = (secret: string) => ({ flags, environment: { TULLE_JOIN_TOKEN: secret } });
      const { part } = await run(runtime, `log-${runtime}`, app, true, { given });
      const written = { stdout: '', stderr: '' };
      for (const name of ['stdout', 'stderr'] as const)
        part.process[name]!.on('data', (bytes) => (written[name] += bytes));
      expect(await part.exited, part.lines.join('\n')).toBe(0);
      expect(written.stdout).toBe('app: out\n');
      expect(file ? readFileSync(file, 'utf8') : written.stderr).toMatch(/GET \/logged /);
      if (file) expect(written.stderr).toMatch(/^tulle: sidecar on \w+\n$/);
    }
    await mesh.remove(ACCESS_LOG);
  });

  it.skipIf(!LINUX).each(RUNTIMES)(
    'warns where the application listens for other hosts, and nowhere else (%s)',
    async (runtime) => {
      const app = `
        process.on('SIGTERM', () => process.exit(0));
        const server = (host) => new Promise((done) => { const it = require('node:net').createServer().listen(0, host, () => done(it.address().port)); });
        Promise.all([server('0.0.0.0'), server('127.0.0.1')]).then((ports) => console.log('app: ' + ports.join(' ')));`;
      const { part } = await run(runtime, `open-${runtime}`, app, true);
      const [open, closed] = (await part.line((text) => /^app: (.*)$/.exec(text)?.[1])).split(' ');
      const warning = await part.line((text) => (text.startsWith('tulle: warning: ') ? text : undefined));
      expect(warning).toContain(`0.0.0.0:${open} is open: `);
      expect(await part.stop()).toBe(0);
      expect(part.lines.join('\n')).not.toContain(`:${closed} is open`);
    },
  );

  it('continues when its output is no longer read', async () => {
    const app = `
      const { hostname, port } = new URL(process.env.http_proxy);
      const ask = (left) => left === 0 ? process.exit(5) : require('node:http')
        .get({ hostname, port, path: 'http://unserved.example:81/', agent: false }, (answer) => answer.resume().on('end', () => setTimeout(ask, 20, left - 1)));
      process.once('SIGHUP', () => ask(20));
      setInterval(() => {}, 1000);
      console.log('app: started');`;
    const { part, ports } = await run('node', 'run-unread', app);
    await part.line((text) => (text === 'app: started' ? text : undefined));
    part.process.stdout!.destroy();
    part.process.kill('SIGHUP');
    expect(await part.exited).toBe(5);
    await expect(get({ host: '127.0.0.1', port: ports[1]!, path: '/ready' })).rejects.toThrow('ECONNREFUSED');
  });

  it('ends as a shell tells of a command that a signal ended, or that is not there', async () => {
    const killed = await run('node', 'run-killed', 'process.kill(process.pid, "SIGTERM")');
    expect(await killed.part.exited).toBe(143);
    const folder = `${mesh.folder}/run-killed`;
    const flags = ['--runtime', 'node', '--control-plane', mesh.url, '--data', folder, '--name', 'run-killed'];
    const absent = await tulle([
      'run',
      ...flags,
      '--ip',
      mesh.address(),
      '--drain-seconds',
      '1',
      '--',
      '/no/such/command',
    ]);
    expect(absent.error).toContain('tulle: cannot start /no/such/command: ');
    expect(absent.code).toBe(127);
  });
});
