/**
 * Runs the suite against etcd on the runtime that runs this file. The first argument is EtcdSettings as JSON, the second a prefix
 * that nothing was written under. One line a case.
 */
import type { EtcdSettings } from '../etcd/gateway.ts';
import { openEtcdStore } from '../etcd/store.ts';
import { storeCases } from './suite.ts';

const [, , settings = '', prefix = ''] = process.argv;
let at = 0;
for (const { name, run, settings: options } of storeCases) {
  const store = await openEtcdStore(JSON.parse(settings) as EtcdSettings, { prefix: `${prefix}/${at++}`, ...options });
  try {
    await run(store);
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAIL ${name}: ${error instanceof Error ? error.stack : error}`);
  }
  await store.close();
}
