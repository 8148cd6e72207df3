/** A change as its writer follows it: on how many proxies it is effective, who refused it and why, by status, events and warnings. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { kubectlBinary, tulle } from '../kit/command.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { freePorts } from '../kit/ports.ts';
import { run } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import { RestartableControl } from './control-process.ts';
import { RecordingProxy } from './recording-proxy.ts';

const HOST = 'cart.shop.svc.cluster.local';
const collection = '/apis/networking.istio.io/v1/namespaces/shop/destinationrules';
const rule = (connectTimeout: string) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name: 'cart', namespace: 'shop' },
  spec: { host: HOST, trafficPolicy: { connectionPool: { tcp: { connectTimeout } } } },
});
const REFUSED = '13s';

const folder = temporaryFolder();
const proxies: RecordingProxy[] = [];
let control: RestartableControl;

beforeAll(async () => {
  const [port] = await freePorts(1);
  control = new RestartableControl(join(folder.path, 'data'), port!);
  await control.start();
  await mustWrite('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  const ports = [{ name: 'http', number: 80, protocol: 'HTTP' }];
  await mustWrite('/apis/networking.istio.io/v1/namespaces/shop/serviceentries', {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'cart', namespace: 'shop' },
    spec: { hosts: [HOST], ports, resolution: 'STATIC', endpoints: [{ address: '10.1.0.1' }] },
  });
  const keyPair = await control.identity('shop', 'a');
  for (const i of [1, 2]) {
    const id = `sidecar~10.0.0.${i}~p${i}.shop~shop.svc.cluster.local`;
    const metadata = { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'a', LABELS: { app: 'a' }, INTERCEPTION_MODE: 'NONE' };
    const refuses = (json: string) => (i === 2 && json.includes(`"${REFUSED}"`) ? 'an unlucky timeout' : undefined);
    const node = { id, metadata };
    // All is sent unasked, so that both are concerned.
    const features = ['tulle.virtual-hosts'];
    proxies.push(new RecordingProxy({ url: control.url, ca: control.ca, keyPair, node, features, refuses }));
  }
  await until('what the proxies hold', () =>
    proxies.every(({ held }) => Object.keys(held.clusters ?? {}).some((name) => name.includes(HOST))),
  );
});

afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await control.kill();
  folder.dispose();
});

async function mustWrite(path: string, resource: object): Promise<void> {
  const { status, body } = await control.api.request('POST', path, resource);
  expect([status, body]).toEqual([201, expect.anything()]);
}

interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  observedGeneration: number;
}
interface Stored {
  metadata: { generation: number; resourceVersion: string; managedFields: object[] };
  status?: { conditions?: Condition[] };
}

/** The condition of the present generation, once it is no longer open. */
function effect(): Promise<Condition> {
  return until('the condition Effective', async () => {
    const { metadata, status } = (await control.api.request('GET', `${collection}/cart`)).body as unknown as Stored;
    const found = status?.conditions?.find(({ type }) => type === 'Effective');
    return found?.observedGeneration === metadata.generation && found.status !== 'Unknown' ? found : undefined;
  });
}
async function replace(timeout: string): Promise<void> {
  const { body } = await control.api.request('GET', `${collection}/cart`);
  const { resourceVersion } = (body as unknown as Stored).metadata;
  const { metadata, ...rest } = rule(timeout);
  const next = { ...rest, metadata: { ...metadata, resourceVersion } };
  expect(await control.api.request('PUT', `${collection}/cart`, next)).toMatchObject({ status: 200 });
}

describe('a change', () => {
  it('is effective on all proxies, with the control plane as the owner of the status', async () => {
    await mustWrite(collection, rule('2s'));
    expect(await effect()).toMatchObject({ status: 'True', message: 'effective on 2 of 2 proxies' });
    const { metadata } = (await control.api.request('GET', `${collection}/cart`)).body as unknown as Stored;
    expect(metadata.managedFields).toContainEqual(
      expect.objectContaining({ manager: 'tulle', subresource: 'status', operation: 'Update' }),
    );
  }, 60_000);

  it('is shown with the words of a proxy that refuses it, as an event too, until it takes it', async () => {
    await replace(REFUSED);
    const message = `effective on 1 of 2 proxies; refused by ${proxies[1]!.node.id}: clusters outbound|80||${HOST}: an unlucky timeout`;
    expect(await effect()).toMatchObject({ status: 'False', reason: 'RefusedByProxies', message });
    await until('an event', async () => {
      const { body } = await control.api.request(
        'GET',
        '/api/v1/namespaces/shop/events?fieldSelector=reason=RefusedByProxies',
      );
      const { items } = body as unknown as { items: { involvedObject: object; message: string }[] };
      return items.find((item) => item.message === message && 'uid' in item.involvedObject);
    });
    await replace('3s');
    expect(await effect()).toMatchObject({ status: 'True', message: 'effective on 2 of 2 proxies' });
  }, 60_000);

  it.skipIf(!kubectlBinary)(
    'is waited for with kubectl, which warns of what is known to be refused',
    async () => {
      const token = (control.api as unknown as { token: string }).token;
      const [tokenFile, caFile, kubeconfig] = ['token', 'ca.pem', 'kubeconfig'].map((name) => join(folder.path, name));
      writeFileSync(tokenFile!, token);
      writeFileSync(caFile!, control.ca);
      const made = await tulle(['kubeconfig', '--server', control.url, '--token', token, '--ca-file', caFile!]);
      writeFileSync(kubeconfig!, made.out, { mode: 0o600 });
      const kubectl = (input: string, ...args: string[]) =>
        run(
          kubectlBinary!,
          ['--kubeconfig', kubeconfig!, '--cache-dir', join(folder.path, 'cache'), '-n', 'shop', ...args],
          { input },
        );
      const apply = (timeout: string) =>
        kubectl(stringify(rule(timeout)), 'apply', '--server-side', '--force-conflicts', '-f', '-');
      const wait = (status: string) =>
        kubectl('', 'wait', `--for=condition=Effective=${status}`, 'destinationrule/cart', '--timeout=30s');
      expect(await apply('4s')).toMatchObject({ code: 0, error: '' });
      expect(await wait('True')).toMatchObject({ code: 0 });
      expect(await apply(REFUSED)).toMatchObject({ code: 0, error: '' });
      expect(await wait('False')).toMatchObject({ code: 0 });
      const again = await apply(REFUSED);
      expect(again.error).toMatch(
        /^Warning: the resource is stored as it is written and not in force everywhere: RefusedByProxies: /,
      );
      expect((await kubectl('', 'get', 'destinationrule', 'cart')).out).toContain('RefusedByProxies');
      expect((await kubectl('', 'describe', 'destinationrule', 'cart')).out).toMatch(
        /Warning +RefusedByProxies .* refused by /,
      );
      expect(await apply('5s')).toMatchObject({ code: 0, error: '' });
      expect(await wait('True')).toMatchObject({ code: 0 });
    },
    120_000,
  );
});
