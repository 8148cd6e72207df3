/** `tulle run --netns`: a user without rights runs a command whose connections and queries are captured. */
import { readdirSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeBinary } from '../../control/cli/runtimes.mjs';
import { answered, CapturedMesh, type Machine } from '../e2e/captured-mesh.ts';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { HOSTS } from '../kit/hosts.ts';
import { DrivenProgram } from '../kit/process.ts';
import { meshService, peerAuthentication, port } from '../kit/resources.ts';
import { until } from '../kit/waiting.ts';

const WEB = 'web.default.svc.cluster.local';
const NODE = [nodeBinary(), '--disable-warning=ExperimentalWarning'];

interface Started {
  readonly program: DrivenProgram;
  /** What the command writes first. */
  readonly first: { uid: number; proxy: string | null; pid: number };
  ask(line: string): Promise<Record<string, unknown>>;
}

/** Processes in the network namespace. */
const inNamespace = (namespace: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/ns/net`) === namespace;
    } catch {
      return false;
    }
  });

describe.skipIf(!HOSTS).each(RUNTIMES)('tulle run --netns on %s', (runtime) => {
  const mesh = new CapturedMesh(runtime);
  let host: Machine['host'];
  let bare: Machine;
  let web: Machine;
  let count = 0;
  const programs: DrivenProgram[] = [];

  async function start(): Promise<Started> {
    const name = `own${++count}`;
    const { flags, token, uid } = await mesh.joining(name, host);
    const user = ['setpriv', '--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups'];
    const settings = ['env', `TULLE_JOIN_TOKEN=${token}`, 'TULLE_HOST_WAIT_MS=30000'];
    const run = [...NODE, `${ROOT}/control/cli/main.ts`, 'run', '--netns', '--runtime', runtime, ...flags];
    const app = ['--', ...NODE, `${ROOT}/tests/machine/netns-app.ts`];
    const program = new DrivenProgram(name, host.run([...user, ...settings, ...run, ...app]));
    programs.push(program);
    const parse = (line: string) => JSON.parse(line.replace(/^app: /, '')) as Record<string, unknown>;
    const first = parse(await program.next()) as unknown as Started['first'];
    return { program, first, ask: async (line) => parse(await program.ask(line)) };
  }

  /** Asks until the answer is as expected: policies need their time. */
  async function asks(started: Started, line: string, expected: (answer: Record<string, unknown>) => boolean) {
    let last: Record<string, unknown> = {};
    await until('the answer is as expected', async () => expected((last = await started.ask(line))), 30_000).catch(
      (error: Error) => {
        throw new Error(`${line}: ${error.message}: ${JSON.stringify(last)}\n${started.program.errors}`);
      },
    );
    return last;
  }

  beforeAll(async () => {
    await mesh.startControl();
    await mesh.apply(meshService('web', [{ ...port(80), targetPort: 8080 }, port(3306, 'TCP', 'tcp-db')]));
    [web, bare] = await Promise.all([
      mesh.add({ name: 'web', app: true }),
      mesh.add({ name: 'bare', bare: true, app: true }),
    ]);
    host = (await mesh.add({ name: 'user', bare: true })).host;
  }, 120_000);
  afterAll(async () => {
    for (const program of programs) program.process.kill('SIGKILL');
    await Promise.all(programs.map(({ exited }) => exited));
    await mesh.stop();
  }, 60_000);

  it('carries calls by name with mTLS, other hosts by policy, and passes the exit code', async () => {
    const started = await start();
    expect(started.first).toMatchObject({ uid: 1337, proxy: null });
    const { address } = await asks(started, `lookup ${WEB}`, ({ address }) => address !== undefined);
    expect(address).toMatch(/^(240\.240\.|2001:2:)/);
    await mesh.apply(peerAuthentication('STRICT'));
    await answered(bare, { http: { host: web.host.address, port: 8080 } }, ({ status }) => status === undefined);
    const { body } = await asks(started, `get http://${WEB}/`, ({ status }) => status === 200);
    expect(body).toContain('URI=spiffe://cluster.local/ns/default/sa/own1');
    expect(await asks(started, `greeting ${WEB} 3306`, ({ greeting }) => greeting !== undefined)).toEqual({
      greeting: 'hello from web\n',
    });
    const elsewhere = `get http://${bare.host.address}:8080/`;
    const outside = await asks(started, elsewhere, ({ status }) => status === 200);
    expect(outside['body']).toContain('"name":"bare"');
    const registryOnly = mesh.sidecar({ outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } });
    await mesh.apply(registryOnly);
    await asks(started, elsewhere, ({ error }) => error !== undefined);
    await mesh.remove(registryOnly, peerAuthentication('STRICT'));
    const namespace = readlinkSync(`/proc/${started.first.pid}/ns/net`);
    started.program.tell('exit 5');
    expect(await started.program.exited).toBe(5);
    await until('nothing is left', async () => inNamespace(namespace).length === 0);
  }, 120_000);

  it('passes SIGTERM on, and leaves nothing when it is killed', async () => {
    const stopped = await start();
    const first = readlinkSync(`/proc/${stopped.first.pid}/ns/net`);
    stopped.program.process.kill('SIGTERM');
    expect(await stopped.program.exited, stopped.program.errors).toBe(7);
    await until('nothing is left', async () => inNamespace(first).length === 0);
    const killed = await start();
    const second = readlinkSync(`/proc/${killed.first.pid}/ns/net`);
    expect(inNamespace(second).length).toBeGreaterThan(1);
    killed.program.process.kill('SIGKILL');
    await killed.program.exited;
    await until('nothing is left', async () => inNamespace(second).length === 0);
  }, 120_000);
});
