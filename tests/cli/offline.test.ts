/** The commands that need no control plane: validate, compile, proxy -c, version, help. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refusal, tulle } from '../kit/command.ts';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';

const folder = temporaryFolder();
const at = (...name: string[]) => join(folder.path, ...name);

const service = 'apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - name: http\n    port: 80\n';
const virtualService = (field: string) =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: b\nspec:\n  hosts: [b]\n  ${field}: []\n`;
const node = {
  id: 'sidecar~10.0.0.1~a-1.default~default.svc.cluster.local',
  metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'a', INTERCEPTION_MODE: 'NONE' },
};

beforeAll(() => {
  for (const name of ['twice', 'mixed', 'empty']) mkdirSync(at(name));
  writeFileSync(at('good.yaml'), service);
  writeFileSync(at('twice', '1.yaml'), service);
  writeFileSync(at('twice', '2.yaml'), service);
  writeFileSync(at('mixed', 'good.yaml'), service);
  writeFileSync(at('mixed', 'bad.yaml'), virtualService('htpp'));
  writeFileSync(at('broken.yaml'), 'a: [1,\nb: {');
  writeFileSync(at('node.json'), JSON.stringify(node));
  writeFileSync(at('nameless.json'), JSON.stringify({ id: 'sidecar~10.0.0.1', metadata: {} }));
  writeFileSync(at('node-broken.json'), '{');
});
afterAll(() => folder.dispose());

describe('tulle validate', () => {
  it('prints the report in exactly the documented shape', async () => {
    const { code, out } = await tulle(['validate', '-f', at('mixed'), '-o', 'json']);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toEqual({
      valid: false,
      resources: [
        {
          kind: 'VirtualService',
          namespace: 'default',
          name: 'b',
          source: { file: at('mixed', 'bad.yaml'), line: 1, column: 1 },
          violations: [
            expect.objectContaining({
              path: 'spec.htpp',
              message: 'unknown field "htpp" (did you mean "http"?)',
              source: { file: at('mixed', 'bad.yaml'), line: 7, column: 3 },
            }),
          ],
          warnings: [],
        },
        {
          kind: 'Service',
          namespace: 'default',
          name: 'a',
          source: { file: at('mixed', 'good.yaml'), line: 1, column: 1 },
          violations: [],
          warnings: [],
        },
      ],
    });
  });

  it('warns of an object in two files, and calls both valid', async () => {
    const { code, out } = await tulle(['validate', '-f', at('twice')]);
    expect(code).toBe(0);
    expect(out).toContain(`the same object is in ${at('twice', '1.yaml')}:1 already`);
    expect(out).toContain('2 resources, all valid');
  });

  it('reads standard input, and writes no colours to a pipe', async () => {
    const { code, out } = await tulle(['validate', '-f', '-'], { input: virtualService('htpp') });
    expect(code).toBe(1);
    expect(out).toContain('-:7:3: VirtualService b: spec.htpp: unknown field');
    expect(out).not.toContain('\u001b');
  });

  it('reports unreadable YAML with file and line', async () => {
    const { code, out, error } = await tulle(['validate', '-f', at('broken.yaml')]);
    expect([code, error]).toEqual([1, '']);
    expect(out).toMatch(/broken\.yaml:\d+:\d+: /);
  });

  it('refuses what it cannot do', async () => {
    const usage = await tulle(['validate']);
    expect([usage.code, usage.error]).toEqual([1, expect.stringContaining('validate: name files or folders')]);
    expect(refusal(await tulle(['validate', '-f', at('absent.yaml')]))).toContain('no such file or folder');
    expect(refusal(await tulle(['validate', '-f', at('good.yaml'), '-o', 'yaml']))).toContain('table, json');
  });
});

describe('tulle compile', () => {
  const compile = (...more: string[]) => tulle(['compile', '-f', at('good.yaml'), ...more]);

  it('prints the five lists as JSON', async () => {
    const { code, out } = await compile('--node', at('node.json'));
    expect(code).toBe(0);
    const found = JSON.parse(out) as Record<string, { name?: string }[]>;
    expect(Object.keys(found)).toEqual(['listeners', 'routes', 'clusters', 'endpoints', 'secrets']);
    expect(found['clusters']?.map(({ name }) => name)).toContain('outbound|80||a.default.svc.cluster.local');
  });

  it.each([
    ['absent.json', 'cannot be read'],
    ['node-broken.json', 'is not JSON'],
    ['nameless.json', 'id'],
  ])('refuses the node %s', async (name, reason) => {
    expect(refusal(await compile('--node', at(name)))).toContain(reason);
  });

  it('compiles nothing while one resource is invalid', async () => {
    const ran = await tulle(['compile', '-f', at('mixed'), '--node', at('node.json')]);
    expect(refusal(ran)).toContain('bad.yaml:7:3: VirtualService b: spec.htpp');
  });

  it('refuses flags and formats it does not know', async () => {
    expect(refusal(await compile('--node', at('node.json'), '--bogus'), 2)).toContain("unknown option '--bogus'");
    expect(refusal(await compile('--node', at('node.json'), '-o', 'table'))).toContain('json, yaml');
  });
});

describe('tulle proxy -c', () => {
  const MANAGER =
    'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
  const listener = (filter: object) => ({
    name: 'web',
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [{ filters: [filter] }],
  });
  const bootstrap = (listeners: object[], more = {}) =>
    JSON.stringify({ static_resources: { listeners, clusters: [] }, ...more });
  const httpManager = (httpFilter: object) => ({
    name: 'http',
    typed_config: {
      '@type': MANAGER,
      stat_prefix: 'x',
      route_config: { name: 'r', virtual_hosts: [] },
      http_filters: [httpFilter],
    },
  });
  const lua = 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua';

  it.each(RUNTIMES)('refuses by name and path on %s', async (runtime) => {
    const cases: [name: string, content: string, message: RegExp][] = [
      ['field', bootstrap([], { nonsense: 1 }), /nonsense/],
      ['filter', bootstrap([listener(httpManager({ name: 'lua', typed_config: { '@type': lua } }))]), /[Ll]ua/],
      ['deep', bootstrap([{ ...listener(httpManager({ name: 'x' })), bogus_field: 1 }]), /listeners.*bogus_?[fF]ield/s],
      ['json', '{"static_resources": ', /JSON/],
    ];
    for (const [name, content, message] of cases) {
      writeFileSync(at(`${name}.json`), content);
      const ran = await tulle(['proxy', '--runtime', runtime, '-c', at(`${name}.json`)]);
      expect(refusal(ran, 4), name).toMatch(message);
    }
    expect(refusal(await tulle(['proxy', '--runtime', runtime, '-c', at('absent.json')]), 2)).toContain('no such file');
  });

  it('refuses an unknown runtime', async () => {
    expect(refusal(await tulle(['proxy', '--runtime', 'ruby']))).toContain('must be one of bun, node, deno');
  });
});

describe('tulle', () => {
  it('prints its version and the help of its commands', async () => {
    expect((await tulle(['version'])).out).toMatch(/^tulle \d+\.\d+\.\d+\n$/);
    const { code, out } = await tulle(['help']);
    expect(code).toBe(0);
    const listed = ['validate', 'compile', 'control', 'proxy', 'run', 'apply', 'get', 'delete', 'token'];
    for (const name of [...listed, 'proxy-status', 'proxy-config', 'kubeconfig', 'version'])
      expect(out).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
  });

  it.each([
    ['help', 'run'],
    ['help', 'proxy'],
    ['run', '--help'],
    ['proxy', '--help'],
  ])('lists the flags of a proxy: tulle %s %s', async (...words) => {
    const { code, out } = await tulle(words);
    expect(code).toBe(0);
    for (const flag of ['--control-plane', '--labels', '--http-proxy-port', '--admin-port'])
      expect(out).toMatch(new RegExp(`^  ${flag}\\b`, 'm'));
  });

  it('requires a command for "tulle run"', async () => {
    const way = 'write "tulle run [flags] -- COMMAND"';
    expect(refusal(await tulle(['run', '--runtime', 'node', 'app']))).toContain(`run: --runtime is no command; ${way}`);
    expect(refusal(await tulle(['run', '--runtime', 'node', '--']))).toContain(`run: names no command; ${way}`);
  });

  it('refuses a command it does not have', async () => {
    expect(refusal(await tulle(['nosuch']), 2)).toContain("unknown command 'nosuch'");
  });
});
