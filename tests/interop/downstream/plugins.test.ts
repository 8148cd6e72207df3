/** Wasm filters as the control plane writes them, beside a real Envoy that cannot fetch their modules: the same answers. */
import { afterAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { at, listener, manager, say } from '../harness/bootstrap-parts.ts';
import { any, camelCase } from '../shared-file/bootstrap.ts';

const plugin = (failure_policy: string) => ({
  config: {
    name: 'shop.check',
    failure_policy,
    vm_config: {
      runtime: 'envoy.wasm.runtime.v8',
      code: {
        remote: { http_uri: { uri: 'oci://example.com/check:1', cluster: '_', timeout: '30s' }, sha256: 'nil' },
      },
    },
  },
});
const http = (policy: string) =>
  listener(
    policy,
    manager([], [{ name: 'plugin', typed_config: any('filters.http.wasm.v3.Wasm', plugin(policy)) }], {}, [
      { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, ...say('passed') }] },
    ]),
  );
const network = (policy: string) => {
  const wasm = { name: 'plugin', typed_config: any('filters.network.wasm.v3.Wasm', plugin(policy)) };
  const served = manager([], [], {}, [
    { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, ...say('passed') }] },
  ]);
  const built = listener(`network-${policy}`, served);
  return { ...built, filter_chains: [{ filters: [wasm, served] }] };
};
const POLICIES = ['FAIL_CLOSED', 'FAIL_OPEN', 'FAIL_RELOAD'];
const BOOTSTRAP = {
  node: { id: 'plugins', cluster: 'plugins' },
  admin: { address: at(0) },
  static_resources: { listeners: POLICIES.flatMap((policy) => [http(policy), network(policy)]), clusters: [] },
};

describe.skipIf(!ENVOY)('a plugin whose module cannot be fetched', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    folder.dispose();
  });
  const answers = async (proxy: RunningProxy) => {
    proxies.push(proxy);
    const names = POLICIES.flatMap((policy) => [policy, `network-${policy}`]);
    const each = names.map(async (name) => {
      const answer = await fetch(`http://127.0.0.1:${proxy.ports[name]}/`).catch(() => undefined);
      return [name, answer ? `${answer.status} ${await answer.text()}` : 'closed'] as const;
    });
    return Object.fromEntries(await Promise.all(each));
  };

  it('fails as Envoy fails', async () => {
    const expected = await answers(await startEnvoy(BOOTSTRAP, folder.path, 'plugins'));
    expect(expected).toMatchObject({ FAIL_CLOSED: '503 ', FAIL_OPEN: '200 passed', 'network-FAIL_CLOSED': 'closed' });
    for (const runtime of RUNTIMES)
      expect(await answers(await startTulle(runtime, camelCase(BOOTSTRAP) as object, folder.path)), runtime).toEqual(
        expected,
      );
  });
});
