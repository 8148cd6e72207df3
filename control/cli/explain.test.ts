/** `tulle explain`, and that the real kubectl prints the same from the API's OpenAPI documents. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kinds, validate } from '../../shared/resources/index.ts';
import { createApi } from '../api/app.ts';
import { nodeListener } from '../api/server/node-listener.ts';
import { memoryStore } from '../store/memory.ts';
import { explain } from './explain.ts';

describe('tulle explain', () => {
  it('a field, its type, its rules and what is below it', () => {
    const out = explain('virtualservice.spec.http.match.uri');
    expect(out).toMatch(
      /^GROUP: {6}networking.istio.io\nKIND: {7}VirtualService\nVERSION: {4}v1\n\nFIELD: uri <Object>\n/,
    );
    expect(out).toContain('\nRULES:\n    only one of exact, prefix, regex may be set\n');
    expect(out).toMatch(/FIELDS:\n {2}exact\t<string>\n {4}\S.*\n\n {2}prefix\t<string>\n/);
  });

  it('names, limits, required fields and defaults', () => {
    const port = explain('se.spec.ports');
    expect(port).toContain('  name\t<string> -required-\n');
    expect(port).toContain('no two entries have the same name');
    expect(explain('dr.spec.trafficPolicy.tls.mode')).toContain('ENUM:\n    DISABLE\n    SIMPLE\n    MUTUAL\n');
    expect(explain('vs.spec.http.retries')).toMatch(/attempts\t<integer>\n[^\t]*Default: 2/);
    expect(explain('vs.spec.http.timeout')).toContain('a duration of at least 1ms');
    expect(explain('we.spec.ports')).toContain('FIELD: ports <map[string]integer>');
  });

  it('accepts every name of a kind and every served version', () => {
    for (const kind of kinds) {
      const same = [kind.plural, kind.singular, kind.kind, ...kind.shortNames].map((name) => explain(name));
      expect(new Set(same).size, kind.kind).toBe(1);
      for (const version of kind.versions) {
        const apiVersion = kind.group ? `${kind.group}/${version}` : version;
        expect(explain(kind.singular, { apiVersion })).toContain(`VERSION:    ${version}\n`);
      }
    }
  });

  it('knows the mesh config too', () => {
    expect(explain('meshconfig.defaultConfig')).toContain('FIELD: defaultConfig <Object>');
    expect(explain('meshnetworks.networks', { recursive: true })).toContain(
      '  endpoints\t<[]Object>\n    fromCidr\t<string>',
    );
  });

  it.each([
    ['virtualservise.spec', 'unknown kind "virtualservise" (did you mean "virtualservice"?)'],
    [
      'vs.spec.http.retires',
      'field "retires" does not exist in vs.spec.http (did you mean "retries"?): one of corsPolicy, ',
    ],
    ['vs.spec.hosts.name', 'field "name" does not exist: vs.spec.hosts is <[]string>, without fields'],
    ['vs.spec.http.__proto__', 'field "__proto__" does not exist'],
    ['', 'unknown kind ""'],
  ])('%s: %s', (path, message) => expect(() => explain(path)).toThrow(message));

  it('lists the served versions', () => {
    expect(() => explain('vs', { apiVersion: 'networking.istio.io/v9' })).toThrow('use networking.istio.io/v1, ');
    expect(() => explain('vs', { apiVersion: 'v1' })).toThrow('vs is not served as "v1"');
  });
});

const kubectl = (process.env['PATH'] ?? '')
  .split(':')
  .map((folder) => join(folder, 'kubectl'))
  .find((file) => existsSync(file));
if (!kubectl) console.log('skipped: kubectl is not on PATH');

describe.skipIf(!kubectl)('kubectl explain over the API', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-explain-'));
  const kubeconfig = join(folder, 'kubeconfig');
  let server: Server;

  beforeAll(async () => {
    const api = createApi({
      store: memoryStore(),
      kinds: { kinds, validate },
      isAdmin: (token) => token === 'admin',
      version: '0.1.0',
    });
    // Plain HTTP on loopback: kubectl sends no token there.
    const asAdmin = (request: Request, env: object) => {
      const headers = new Headers(request.headers);
      headers.set('authorization', 'Bearer admin');
      return api.fetch(new Request(request, { headers }), env);
    };
    server = createServer(nodeListener(asAdmin, () => ({})));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'tulle', cluster: { server: address } }],
      contexts: [{ name: 'tulle', context: { cluster: 'tulle', user: 'admin' } }],
      users: [{ name: 'admin', user: {} }],
      'current-context': 'tulle',
    };
    writeFileSync(kubeconfig, JSON.stringify(config));
  });

  afterAll(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });

  /** kubectl prints no rules; the rest is equal byte for byte. */
  const withoutRules = (text: string) => text.replace(/\nRULES:\n(?: {4}.*\n)+\n/g, '\n');

  it.each([
    ['vs.spec.http', {}],
    ['vs.spec.http.corsPolicy.unmatchedPreflights', {}],
    ['dr.spec.trafficPolicy.loadBalancer', {}],
    ['dr', { recursive: true }],
    ['wasmplugin', { apiVersion: 'extensions.istio.io/v1alpha1', recursive: true }],
    ['vs.metadata', { apiVersion: 'networking.istio.io/v1alpha3' }],
    ['we.spec.ports', {}],
    ['svc', { recursive: true }],
  ])('%s %j', async (path, options: { recursive?: boolean; apiVersion?: string }) => {
    const flags = [
      ...(options.recursive ? ['--recursive'] : []),
      ...(options.apiVersion ? ['--api-version', options.apiVersion] : []),
    ];
    const args = ['--kubeconfig', kubeconfig, '--cache-dir', join(folder, 'cache'), 'explain', path, ...flags];
    const { stdout } = await promisify(execFile)(kubectl ?? '', args);
    expect(stdout).toBe(withoutRules(explain(path, options)));
  });
});
