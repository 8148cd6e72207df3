/** kubectl applies on the server's side: owners of fields, conflicts, and the change from applies on the client's side. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kubectlBinary } from '../../kit/command.ts';
import { type Ran, run } from '../../kit/process.ts';
import { type KubectlApi, startKubectlApi } from './kubectl-api.ts';

if (!kubectlBinary) console.warn('skipped: kubectl is not on the PATH');

const route = (name: string, spec: object) =>
  JSON.stringify({
    ...{ apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', metadata: { name, namespace: 'default' } },
    spec: { hosts: [name], http: [{ route: [{ destination: { host: name } }] }], ...spec },
  });

describe.skipIf(!kubectlBinary)('kubectl apply --server-side', () => {
  let api: KubectlApi;
  beforeAll(async () => {
    api = await startKubectlApi();
  });
  afterAll(() => api?.stop());

  const kubectl = (input: string, ...more: string[]): Promise<Ran> => {
    const [program, ...args] = api.command;
    return run(program, [...args, ...more], { input });
  };
  const apply = (text: string, ...flags: string[]) =>
    kubectl(text, 'apply', '--server-side', '--validate=false', '-f', '-', ...flags);
  const field = async (name: string, path: string) =>
    (await kubectl('', 'get', 'vs', name, '-o', `jsonpath={${path}}`)).out;

  it('creates, changes nothing twice, and has the owner of its fields', async () => {
    expect((await apply(route('a', {}))).out).toContain('serverside-applied');
    const version = await field('a', '.metadata.resourceVersion');
    expect((await apply(route('a', {}))).code).toBe(0);
    expect(await field('a', '.metadata.resourceVersion')).toBe(version);
    const managed = await kubectl('', 'get', 'vs', 'a', '-o', 'json', '--show-managed-fields');
    expect(JSON.parse(managed.out).metadata.managedFields).toMatchObject([{ manager: 'kubectl', operation: 'Apply' }]);
  });

  it('reports a conflict of two managers, and takes the field by force', async () => {
    await apply(route('b', { exportTo: ['.'] }), '--field-manager=one');
    const refused = await apply(route('b', { exportTo: ['*'] }), '--field-manager=two');
    expect(refused.code).toBe(1);
    expect(refused.error).toMatch(/conflict with "one"[\s\S]*\.spec\.exportTo/);
    expect((await apply(route('b', { exportTo: ['*'] }), '--field-manager=two', '--force-conflicts')).code).toBe(0);
    expect(await field('b', '.spec.exportTo[0]')).toBe('*');
  });

  it('takes over what was applied on the client side: a field that is left out goes', async () => {
    const client = await kubectl(route('c', { exportTo: ['.'] }), 'apply', '--validate=false', '-f', '-');
    expect(client.out).toContain('created');
    expect((await apply(route('c', { exportTo: ['.'] }))).code).toBe(0);
    expect((await apply(route('c', {}))).code).toBe(0);
    expect(await field('c', '.spec.exportTo')).toBe('');
  });

  it('writes nothing in a dry run, and shows the difference', async () => {
    await apply(route('d', {}));
    expect((await apply(route('d', { exportTo: ['.'] }), '--dry-run=server')).code).toBe(0);
    expect(await field('d', '.spec.exportTo')).toBe('');
    const shown = await kubectl(route('d', { exportTo: ['.'] }), 'diff', '--server-side', '-f', '-');
    expect(shown.code).toBe(1);
    expect(shown.out).toMatch(/^\+ +exportTo:/m);
  });
});
