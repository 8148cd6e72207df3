/** `tulle run`: sidecar first, application second, signals and exit codes passed on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { tulle } from '../kit/command.ts';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import type { Program } from '../kit/process.ts';
import { get } from './shop-mesh.ts';

/** Asks the sidecar it was given, tells what it saw, and exits 7 on SIGTERM. */
const APP = `
const proxy = new URL(process.env.http_proxy);
const ask = require('node:http').get({ host: proxy.hostname, port: proxy.port, path: 'http://unserved.example:81/', agent: false },
  (answer) => { answer.resume(); console.log('app: sidecar ' + proxy.port + ' answers ' + answer.statusCode); });
ask.on('error', (error) => console.log('app: ' + error.message));
process.on('SIGTERM', () => { console.log('app: SIGTERM'); process.exit(7); });
setInterval(() => {}, 1000);
`;

describe('tulle run', () => {
  const mesh = new LoopbackMesh();
  beforeAll(() => mesh.startControl());
  afterAll(() => mesh.stop());

  async function run(
    runtime: RuntimeName,
    name: string,
    app: string,
    choose = false,
  ): Promise<{ part: Program; ports: number[] }> {
    const ports = await freePorts(2);
    const [httpProxyPort, adminPort] = ports;
    const command = [nodeBinary(), '--disable-warning=ExperimentalWarning', `${ROOT}/control/cli/main.ts`, 'run'];
    const flags = ['--runtime', runtime, '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile];
    const own = ['--data', `${mesh.folder}/${name}`, '--name', name, '--ip', mesh.address(), '--drain-seconds', '1'];
    const at = [...(choose ? [] : ['--http-proxy-port', `${httpProxyPort}`]), '--admin-port', `${adminPort}`];
    const part = mesh.launch(name, [...command, ...flags, ...own, ...at, '--', nodeBinary(), '-e', app], {
      TULLE_JOIN_TOKEN: await mesh.joinToken('default'),
    });
    return { part, ports };
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
