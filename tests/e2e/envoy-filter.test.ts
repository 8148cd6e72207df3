/** EnvoyFilter in a running mesh: patches that are in force, filters that are missing, and what is said of them. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { ACCESS_LOGS, meshService, port, workloadEntry, yaml } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';

const ECHO = join(ROOT, 'tests/e2e/echo.ts');

interface Conditions {
  readonly status?: { readonly conditions?: readonly { type: string; status: string; message: string }[] };
}

const MANAGER = 'envoy.filters.network.http_connection_manager';
const INBOUND = {
  context: 'SIDECAR_INBOUND',
  listener: {
    portNumber: 9080,
    filterChain: { filter: { name: MANAGER, subFilter: { name: 'envoy.filters.http.router' } } },
  },
};
const filter = (name: string, config: object) => ({
  applyTo: 'HTTP_FILTER',
  match: INBOUND,
  patch: { operation: 'INSERT_BEFORE', value: { name, typed_config: config } },
});
const BUFFER = filter('limit', {
  '@type': 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer',
  max_request_bytes: 10,
});
const UNKNOWN = filter('limit', {
  '@type': 'type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency',
});
const envoyFilter = (...configPatches: object[]) => ({
  apiVersion: 'networking.istio.io/v1alpha3',
  kind: 'EnvoyFilter',
  metadata: { name: 'patches', namespace: 'default' },
  spec: { workloadSelector: { labels: { app: 'echo' } }, configPatches },
});

describe.each(RUNTIMES)('EnvoyFilter on %s', (runtime) => {
  const mesh = new LoopbackMesh();
  const echo = () => mesh.workloads.get('echo')!;
  const call = (body?: string) =>
    fetch(`http://${echo().address}:9080/`, body === undefined ? {} : { method: 'POST', body });
  const answers = (status: number, body?: string) =>
    until(`it answers ${status}`, async () => (await call(body)).status === status);
  const condition = (type: string, status: string) =>
    until(`the condition ${type} is ${status}`, async () => {
      const at = '/apis/networking.istio.io/v1alpha3/namespaces/default/envoyfilters/patches';
      const { status: own } = await mesh.api.call<Conditions>('GET', at);
      return own?.conditions?.find((one) => one.type === type && one.status === status)?.message;
    });

  beforeAll(async () => {
    await mesh.startControl();
    const address = mesh.address();
    await mesh.apply(yaml(ACCESS_LOGS, meshService('echo', [port(9080)]), workloadEntry('echo', address)));
    await mesh.start(
      { name: 'echo', serviceAccount: 'echo', labels: { app: 'echo' }, runtime, app: [ECHO, '{port}'] },
      address,
    );
    await answers(200);
  });
  afterAll(() => mesh.stop());

  it('a patch is in force, is changed, and goes', async () => {
    await mesh.apply(yaml(envoyFilter(BUFFER)));
    await answers(413, 'more than ten bytes');
    expect((await call('few')).status).toBe(200);
    await mesh.apply(
      yaml(
        envoyFilter(BUFFER, {
          applyTo: 'HTTP_FILTER',
          match: { ...INBOUND, listener: { filterChain: { filter: { name: MANAGER, subFilter: { name: 'limit' } } } } },
          patch: {
            operation: 'MERGE',
            value: {
              typed_config: { '@type': BUFFER.patch.value.typed_config['@type' as never], max_request_bytes: 100 },
            },
          },
        }),
      ),
    );
    await answers(200, 'more than ten bytes');
    await answers(413, 'x'.repeat(101));
    await mesh.apply(yaml(envoyFilter()));
    await answers(200, 'x'.repeat(101));
  });

  it('a filter that the proxy lacks refuses requests, with the reason in its log and in the status; other patches are in force', async () => {
    const responses = {
      applyTo: 'VIRTUAL_HOST',
      match: { context: 'SIDECAR_INBOUND' },
      patch: {
        operation: 'MERGE',
        value: { response_headers_to_add: [{ header: { key: 'x-patched', value: 'yes' } }] },
      },
    };
    await mesh.apply(yaml(envoyFilter(UNKNOWN, responses)));
    await answers(503);
    await echo().proxy.line((line) =>
      line.includes('HTTP filter limit is not run (typedConfig: unsupported type') ? line : undefined,
    );
    await echo().proxy.line((line) => (line.includes('"response_code_details":"filter_missing"') ? line : undefined));
    expect(await condition('Reconciled', 'False')).toMatch(
      /^spec\.configPatches\[0\]\.patch\.value: .*its requests are refused/,
    );
    await mesh.apply(yaml(envoyFilter(responses)));
    await answers(200);
    expect((await call()).headers.get('x-patched')).toBe('yes');
    expect(await condition('Reconciled', 'True')).toBe('every rule is in force');
  });
});
