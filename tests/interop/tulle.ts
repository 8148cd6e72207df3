/** `tulle proxy -c FILE --announce` as the proxy under test. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { proxyCommand, type RuntimeName } from '../../control/cli/runtimes.mjs';
import { Part } from '../../deploy/demo/mesh.ts';
import type { RunningProxy } from './envoy.ts';

/** Starts Tulle's proxy on a bootstrap; ready when this returns. @param folder for the file */
export async function startTulle(runtime: RuntimeName, bootstrap: object, folder: string): Promise<RunningProxy> {
  const file = join(folder, `tulle-${runtime}.json`);
  writeFileSync(file, JSON.stringify(bootstrap));
  const part = new Part(`tulle (${runtime})`, [...proxyCommand(runtime), ...['-c', file, '--announce']]);
  const announced = await part
    .announcement<{ ports: Record<string, number>; adminPort: number }>()
    .catch(async (error: unknown) => {
      await part.stop();
      throw error;
    });
  return { name: part.name, part, ...announced };
}
