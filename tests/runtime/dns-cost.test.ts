/** What a DNS answer costs, of the proxy's own process alone. */
import dgram from 'node:dgram';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { DrivenProgram } from '../kit/process.ts';

const SERVICES = 1000;
const QUERIES = 10_000;
const WINDOW = 32;
/** Microseconds of CPU time, the kernel's part included. */
const MAX_COST = 200;

function queryFor(i: number): Buffer {
  const labels = [`service-${i % SERVICES}`, 'shop', 'svc', 'cluster', 'local'];
  const name = Buffer.concat(labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]));
  const header = Buffer.from([i >> 8, i & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, name, Buffer.from([0, 0, 1, 0, 1])]);
}

/** Asks `count` questions, so many at a time. @returns how many were answered with an address */
function ask(port: number, count: number): Promise<number> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4');
    let [sent, good, done] = [0, 0, 0];
    const next = () => socket.send(queryFor(sent++), port, '127.0.0.1');
    socket.on('message', (answer) => {
      done += 1;
      if (answer[3]! % 16 === 0 && answer.readUInt16BE(6) === 1) good += 1;
      if (sent < count) next();
      else if (done === count) {
        socket.close();
        resolve(good);
      }
    });
    for (let i = 0; i < WINDOW; i++) next();
  });
}

describe.each(RUNTIMES)('a DNS answer on %s', (runtime) => {
  const command = runtimeCommand(runtime, join(ROOT, 'tests/runtime/dns-cost.child.ts'));
  const program = new DrivenProgram(`dns (${runtime})`, [...command, String(SERVICES)]);
  afterAll(() => program.stop());

  it(`takes at most ${MAX_COST} us of CPU time`, async () => {
    const { port, heapBytes } = JSON.parse(await program.next()) as { port: number; heapBytes: number };
    expect(await ask(port, QUERIES)).toBe(QUERIES);
    const before = Number(await program.ask(''));
    expect(await ask(port, QUERIES)).toBe(QUERIES);
    const cost = (Number(await program.ask('')) - before) / QUERIES;
    console.info(
      `${runtime}: ${cost.toFixed(1)} us a DNS answer; ${(heapBytes / SERVICES / 1024).toFixed(2)} KiB a name`,
    );
    expect(cost).toBeLessThan(MAX_COST);
  });
});
