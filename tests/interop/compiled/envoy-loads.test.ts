/**
 * What the reference configurations compile to loads in a real Envoy: every listener with its routes, every cluster with its
 * endpoints. The data is not part of the repository.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileWithNotes } from '../../../control/compile/node/node.ts';
import { collections } from '../../../control/compile/testing/inputs/collections.ts';
import { GOLDEN, goldenInputs } from '../../../control/compile/testing/inputs/golden.ts';
import { compiledInput, viewOf } from '../../../control/compile/testing/inputs/input.ts';
import { CALLS, routeTables, simulations, TABLES } from '../../../control/compile/testing/inputs/simulation.ts';
import { hasReference } from '../../../control/compile/testing/reference.ts';
import { temporaryFolder } from '../../kit/environment.ts';
import { ENVOY } from '../../kit/envoy.ts';
import { run } from '../../kit/process.ts';
import { authorityIn, type SvidFiles, svidFiles } from '../tls/svids.ts';
import { Bootstraps, loadable } from './loadable.ts';

const available = ENVOY !== undefined && [GOLDEN, CALLS, TABLES, 'samples', 'corpus'].every(hasReference);

describe.skipIf(!available)('a real Envoy loads what is compiled', () => {
  const folder = temporaryFolder();
  let own: SvidFiles;
  beforeAll(async () => {
    own = await svidFiles(await authorityIn(folder.path), folder.path, 'one');
  });
  afterAll(() => folder.dispose());

  /** What Envoy refuses of `bootstraps`; two at a time, as a start mostly waits for its threads. */
  async function refusals(bootstraps: Bootstraps): Promise<string[]> {
    const refused: string[] = [];
    const rest = [...bootstraps.all];
    const worker = async (name: string) => {
      for (let next = rest.shift(); next; next = rest.shift()) {
        const file = join(folder.path, `${name}.json`);
        writeFileSync(file, JSON.stringify(next));
        const { code, out, error } = await run(ENVOY!, ['--mode', 'validate', '-c', file, '-l', 'error']);
        if (code !== 0) refused.push(`${out}${error}`.slice(0, 2000));
      }
    };
    await Promise.all(['a', 'b'].map(worker));
    return refused;
  }

  it('of the cases of istiod, the simulation and its route tables', async () => {
    const bootstraps = new Bootstraps(200);
    for (const input of [...goldenInputs(), ...simulations(), ...routeTables()])
      bootstraps.add(input.label, loadable(compiledInput(input).snapshot, own));
    expect(await refusals(bootstraps)).toEqual([]);
    console.info(`${bootstraps.count} different listeners and clusters`);
    expect(bootstraps.count).toBeGreaterThan(600);
  });

  it('of samples and of the configurations of tests, for every workload', async () => {
    const bootstraps = new Bootstraps(200);
    for (const { label, resources, nodes } of collections()) {
      const view = viewOf(resources);
      for (const node of nodes)
        bootstraps.add(`${label} ${node.id}`, loadable(compileWithNotes(view, node).snapshot, own));
    }
    expect(await refusals(bootstraps)).toEqual([]);
    console.info(`${bootstraps.count} different listeners and clusters`);
    expect(bootstraps.count).toBeGreaterThan(400);
  });
});
