/**
 * A disk cache as a program that saves until it is killed: each save changes two of many resources. Reports on standard
 * output, one JSON object a line: what it loaded, then each version that is on disk.
 */
import { type CachedConfig, type CachedResource, DiskCache } from '../../edge-proxy/control-client/disk-cache.ts';
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';

const { files, process } = currentRuntime();
const report = (line: object) => process.writeOut(JSON.stringify(line));
let bytes = 0;
const counting: typeof files = {
  ...files,
  writeAtomic(path, content, mode) {
    bytes += content.length;
    return files.writeAtomic(path, content, mode);
  },
  append(path, content, size) {
    bytes += content.length;
    return files.append(path, content, size);
  },
};
const cache = new DiskCache(counting, process.args[0]!, (line) => report({ warning: line }));
const resource = (name: string, version: number): CachedResource => ({
  name,
  version: String(version),
  resource: { name, filler: 'x'.repeat(1500) },
});
const config = (clusters: CachedResource[]): CachedConfig => ({
  secrets: [],
  clusters,
  endpoints: [],
  listeners: [],
  routes: [],
  hosts: [],
  dnsHosts: [],
  virtualHosts: [],
});

const loaded = await cache.load('n');
let clusters = loaded?.clusters ?? Array.from({ length: 200 }, (_, i) => resource(`c${i}`, 0));
const versionOf = (name: string) => Number(clusters.find((one) => one.name === name)?.version);
report({ loaded: loaded ? [versionOf('c0'), versionOf('c1')] : [], count: clusters.length });
for (let version = versionOf('c0') + 1; ; version++) {
  clusters = [resource('c0', version), resource('c1', version), ...clusters.slice(2)];
  bytes = 0;
  cache.save('n', config(clusters));
  await cache.flush();
  report({ saved: version, bytes });
}
