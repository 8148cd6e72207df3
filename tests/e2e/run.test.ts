/** `tulle run`: sidecar first, application second, signals and exit codes passed on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { freePorts, LoopbackMesh, Part } from '../../deploy/demo/mesh.ts';
import { ROOT, RUNTIMES } from '../harness.ts';
import { get } from './shop-mesh.ts';

/** Asks the sidecar it was given, tells what it saw, and exits 7 on SIGTERM. */
const APP = `
const proxy = new URL(process.env.http_proxy);
const ask = require('node:http').get({ host: proxy.hostname, port: proxy.port, path: 'http://nobody.example:81/', agent: false },
  (answer) => { answer.resume(); console.log('app: sidecar ' + proxy.port + ' answers ' + answer.statusCode); });
ask.on('error', (error) => console.log('app: ' + error.message));
process.on('SIGTERM', () => { console.log('app: SIGTERM'); process.exit(7); });
setInterval(() => {}, 1000);
`;

describe('tulle run', () => {
  const mesh = new LoopbackMesh();
  beforeAll(() => mesh.startControl());
  afterAll(() => mesh.stop());

  async function run(runtime: RuntimeName, name: string, app: string): Promise<{ part: Part; ports: number[] }> {
    const ports = await freePorts(2);
    const [httpProxyPort, adminPort] = ports;
    const command = [nodeBinary(), '--disable-warning=ExperimentalWarning', `${ROOT}/control/cli/main.ts`, 'run'];
    const flags = ['--runtime', runtime, '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile];
    const own = ['--data', `${mesh.folder}/${name}`, '--name', name, '--ip', mesh.address(), '--drain-seconds', '1'];
    const at = ['--http-proxy-port', `${httpProxyPort}`, '--admin-port', `${adminPort}`];
    const part = new Part(name, [...command, ...flags, ...own, ...at, '--', nodeBinary(), '-e', app], {
      TULLE_JOIN_TOKEN: await mesh.joinToken('default'),
    });
    mesh.parts.add(part);
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

  it('ends with the exit code of an application that ends by itself, and takes the sidecar along', async () => {
    const { part, ports } = await run('node', 'run-short', 'process.exit(3)');
    expect(await part.exited).toBe(3);
    await expect(get({ host: '127.0.0.1', port: ports[1]!, path: '/ready' })).rejects.toThrow('ECONNREFUSED');
  });
});
