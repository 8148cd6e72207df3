/** Warnings that only the server gives are shown too; none is shown twice. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../../tests/kit/environment.ts';
import { type Answer, ControlApi } from '../connection.ts';
import { apply } from './apply.ts';

const folder = temporaryFolder();
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(() => folder.dispose());

const entry = (name: string) => `apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ${name}}
spec: {address: 10.77.0.31, labels: {app: ${name}}}
`;

const RESOURCE = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - route: [{destination: {host: a}}]
  - route: [{destination: {host: b}}]
`;

class Server extends ControlApi {
  readonly asked: string[] = [];
  override async request(method: string, path: string): Promise<Answer> {
    this.asked.push(`${method} ${path}`);
    if (method === 'GET') return { status: 404, body: {}, warnings: [] };
    const repeated = 'spec.http[1]: is never reached: spec.http[0] before it matches everything';
    return { status: 201, body: {}, warnings: ['the server is about to stop', repeated] };
  }
}

it('tulle apply shows the warnings of the server, once', async () => {
  const file = join(folder.path, 'a.yaml');
  writeFileSync(file, RESOURCE);
  const lines: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0);
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const server = new Server('https://x', undefined, undefined);
  await apply(server, { paths: [file], recursive: false }, 'default', { dryRun: 'none', fields: 'Strict' });
  expect(server.asked.filter((each) => each.startsWith('POST'))).toHaveLength(2);
  expect(lines).toEqual([
    `Warning: ${file}:8:5: VirtualService a: spec.http[1]: is never reached: spec.http[0] before it matches everything\n`,
    `Warning: ${file}:1: VirtualService a: the server is about to stop\n`,
  ]);
});

it('tulle apply warns once where workloads of the files share an address', async () => {
  const file = join(folder.path, 'shared.yaml');
  writeFileSync(file, `${entry('orders')}---\n${entry('redis')}`);
  const lines: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0);
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const shared =
    'spec.address: 10.77.0.31 is also an address of WorkloadEntry shop/orders: policies of each hold at its own ports, of all at ports that several or none serve';
  class Stored extends Server {
    override async request(method: string, path: string): Promise<Answer> {
      return { ...(await super.request(method, path)), warnings: [shared] };
    }
  }
  await apply(new Stored('https://x', undefined, undefined), { paths: [file], recursive: false }, 'shop', {
    dryRun: 'server',
    fields: 'Strict',
  });
  expect(lines.filter((line) => line.includes('WorkloadEntry redis'))).toEqual([
    `Warning: ${file}:6: WorkloadEntry redis: ${shared}\n`,
  ]);
});

it('tulle apply warns of fields without effect, at their line and column', async () => {
  const file = join(folder.path, 'group.yaml');
  writeFileSync(
    file,
    `apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: g}
spec:
  template: {serviceAccount: g, address: 10.0.0.1}
`,
  );
  const lines: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0);
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const server = new Server('https://x', undefined, undefined);
  await apply(server, { paths: [file], recursive: false }, 'default', { dryRun: 'client', fields: 'Strict' });
  expect(lines.filter((line) => line !== '')).toEqual([
    expect.stringMatching(/^Warning: .*group\.yaml:5:\d+: WorkloadGroup g: spec\.template\.address: has no effect/),
  ]);
});
