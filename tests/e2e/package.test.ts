/** What ships: the built package, installed in a folder without the sources, runs a mesh on every runtime. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ControlApi } from '../../control/cli/connection.ts';
import { nodeBinary } from '../../control/cli/runtimes.mjs';
import { buildPackage } from '../../deploy/build.ts';
import pkg from '../../package.json' with { type: 'json' };
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { outputOf, Program, run } from '../kit/process.ts';

const APP = `
const proxy = new URL(process.env.http_proxy);
const headers = { 'proxy-authorization': 'Basic ' + Buffer.from(proxy.username + ':' + proxy.password).toString('base64') };
const ask = require('node:http').get({ host: proxy.hostname, port: proxy.port, path: 'http://unserved.example:81/', headers, agent: false },
  (answer) => { console.log('app: sidecar answers ' + answer.statusCode); answer.resume().on('end', () => process.exit(0)); });
ask.on('error', (error) => { console.log('app: ' + error.message); process.exit(1); });
`;

describe('the package', () => {
  const temporary = temporaryFolder();
  const folder = temporary.path;
  const modules = join(folder, 'node_modules');
  const bin = join(modules, 'tulle', pkg.bin.tulle);
  const parts: Program[] = [];
  let libraries: string[] = [];
  const tulle = (name: string, args: string[], env?: Record<string, string>) => {
    const part = new Program(name, [bin, ...args], { env });
    parts.push(part);
    return part;
  };

  beforeAll(async () => {
    mkdirSync(modules);
    libraries = await buildPackage(join(modules, 'tulle'));
    // The runtimes a user would have installed beside it.
    for (const runtime of ['bun', '@deno', `node-${process.platform}-${process.arch}`])
      symlinkSync(join(ROOT, 'node_modules', runtime), join(modules, runtime));
  });
  afterAll(async () => {
    await Promise.all(parts.map((part) => part.stop()));
    temporary.dispose();
  });

  it('needs nothing that it does not bring, and brings the licenses of what it holds', () => {
    const manifest = JSON.parse(readFileSync(join(modules, 'tulle/package.json'), 'utf8'));
    for (const installed of ['dependencies', 'optionalDependencies']) expect(manifest).not.toHaveProperty(installed);
    expect(Object.keys(manifest.peerDependencies)).toEqual(Object.keys(manifest.peerDependenciesMeta));
    expect(Object.values(manifest.peerDependenciesMeta)).toEqual(
      manifest.peerDependenciesMeta ? Object.keys(manifest.peerDependencies).map(() => ({ optional: true })) : [],
    );
    expect(manifest.bin).toEqual(pkg.bin);
    expect(libraries).toEqual(expect.arrayContaining(Object.keys(pkg.dependencies)));
    const texts = readFileSync(join(modules, 'tulle/THIRD-PARTY-LICENSES'), 'utf8');
    for (const library of libraries) expect(texts).toContain(`== ${library}\n`);
  });

  it('can be imported: checks, compile and the control plane, with types', async () => {
    const program = join(folder, 'consumer.mts');
    writeFileSync(
      program,
      `import { type CheckedDocument, checkText, compile } from 'tulle';
import { type ControlPlane, startControlPlane } from 'tulle/control';
const all: CheckedDocument[] = checkText('apiVersion: networking.istio.io/v1\\nkind: VirtualService\\nmetadata: {name: a}\\nspec: {htpp: []}');
const node = { id: 'sidecar~10.0.0.1~a.default~default.svc.cluster.local' };
const plane: ControlPlane = await startControlPlane({ data: ${JSON.stringify(join(folder, 'library-data'))} });
console.log(JSON.stringify([all[0]?.violations[0]?.path, compile([], node).clusters.length > 0, plane.url.startsWith('https://')]));
await plane.stop();
// @ts-expect-error the folder is required
export const wrong = () => startControlPlane({});
`,
    );
    expect(outputOf(nodeBinary(), [program]).trim()).toBe('["spec.htpp",true,true]');
    const types = [
      '--noEmit',
      '--ignoreConfig',
      '--strict',
      '--module',
      'nodenext',
      '--types',
      'node',
      '--typeRoots',
      join(ROOT, 'node_modules/@types'),
    ];
    expect(await run(nodeBinary(), [join(ROOT, 'node_modules/typescript/bin/tsc'), ...types, program])).toMatchObject({
      code: 0,
      out: '',
    });
  });

  it('judges a file as the checkout does', async () => {
    const file = join(folder, 'bad.yaml');
    writeFileSync(
      file,
      `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [a], http: [{route: [{destination: {host: a}, weight: -1}]}]}\n`,
    );
    const { code, out, error } = await run(bin, ['validate', '-f', file]);
    expect(code).toBe(1);
    expect(out + error).toContain('spec.http[0].route[0].weight');
    expect((await run(bin, ['version'])).out).toBe(`tulle ${pkg.version}\n`);
  });

  it('runs a control plane, and sidecars with two workers on every runtime', async () => {
    const data = join(folder, 'control');
    const control = tulle('control', ['control', '--data', data, '--port', '0', '--announce']);
    const { port, adminToken, trustBundle } = await control.announcement<{
      port: number;
      adminToken: string;
      trustBundle: string;
    }>();
    const url = `https://127.0.0.1:${port}`;
    const api = new ControlApi(url, adminToken, trustBundle);
    const apps = RUNTIMES.map(async (runtime, i) => {
      const request = { namespace: 'default', serviceAccount: 'default' };
      const { token } = await api.call<{ token: string }>('POST', '/v1/join-tokens', request);
      const flags = ['--runtime', runtime, '--control-plane', url, '--trust-bundle', join(data, 'ca/root-cert.pem')];
      const own = ['--data', join(folder, runtime), '--name', runtime, '--ip', `127.0.9.${i + 1}`, '--admin-port', '0'];
      const rest = ['--drain-seconds', '1', '--concurrency', '2', '--', process.execPath, '-e', APP];
      const program = tulle(runtime, ['run', ...flags, ...own, ...rest], { TULLE_JOIN_TOKEN: token });
      return [await program.exited, program.lines.find((line) => line.startsWith('app: '))];
    });
    for (const app of await Promise.all(apps)) expect(app).toEqual([0, expect.stringMatching(/answers \d{3}$/)]);
  });
});
