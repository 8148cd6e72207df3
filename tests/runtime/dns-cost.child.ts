/** A DNS server with the names of many services; a line on standard input is answered with the CPU time so far, microseconds. */
import { createInterface } from 'node:readline';
import { DnsProxy } from '../../edge-proxy/dns/dns-proxy.ts';
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';

const services = Number(process.argv[2]);
const dns = await DnsProxy.start({
  runtime: currentRuntime(),
  port: 0,
  upstreams: [],
  namespace: 'shop',
  domainSuffix: 'cluster.local',
  log: () => {},
});
const heap = () => {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage().heapUsed;
};
const before = heap();
dns.apply(
  Array.from({ length: services }, (_, i) => ({
    name: `service-${i}.shop.svc.cluster.local`,
    service: true,
    addresses: [`10.96.${i >> 8}.${i & 255}`],
    ports: [{ number: 80, name: 'http', protocol: 'TCP' }],
  })),
  [],
);
dns.complete();
process.stdout.write(`${JSON.stringify({ port: dns.port, heapBytes: heap() - before })}\n`);
for await (const _ of createInterface({ input: process.stdin })) {
  const { user, system } = process.cpuUsage();
  process.stdout.write(`${user + system}\n`);
}
await dns.close();
