/** Runs the cases of RFC 9113 on this runtime. Writes one line: how many there were, and what differed, by case. */
import { clientCases } from '../../edge-proxy/http/testing/http2/client-cases.ts';
import { floodCases } from '../../edge-proxy/http/testing/http2/flood-cases.ts';
import { serverCases } from '../../edge-proxy/http/testing/http2/server-cases.ts';

const failed: string[] = [];
for (const [side, cases] of [
  ['server', serverCases],
  ['client', clientCases],
  ['flood', floodCases],
] as const) {
  for (const { name, run } of cases) {
    const found = await run();
    if (found !== '') failed.push(`${side}, ${name}: ${found}`);
  }
}
console.log(JSON.stringify({ cases: serverCases.length + clientCases.length + floodCases.length, failed }));
