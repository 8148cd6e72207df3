/** What must not compile: forwarding a request that no filter chain let through. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../kit/process.ts';

const root = resolve(fileURLToPath(import.meta.url), '../../..');

const PROGRAMS = {
  judged: `
    const result = runRequestHeads(run, 0, true);
    if (isPermit(result)) new Router(result, exchange, config, action, choice, undefined);`,
  'without a permit': `new Router(exchange, config, action, choice, undefined);`,
  'an object that looks like one': `new Router({ request }, exchange, config, action, choice, undefined);`,
  'the answer of a chain that was not looked at': `
    new Router(runRequestHeads(run, 0, true), exchange, config, action, choice, undefined);`,
  'a permit made elsewhere': `new Router(new Permit(request), exchange, config, action, choice, undefined);`,
  'the permit of what is no request of ours': `
    const result = runRequestHeads(other, 0, true);
    if (isPermit(result)) new Router(result, exchange, config, action, choice, undefined);`,
};

const source = (body: string) => `
  import { Router } from '${root}/edge-proxy/http/router/router.ts';
  import type { RouterClient } from '${root}/edge-proxy/http/router/router-client.ts';
  import type { RouterConfig } from '${root}/edge-proxy/http/router/router-config.ts';
  import type { ProxyRequest } from '${root}/edge-proxy/http/request/proxy-request.ts';
  import type { RequestContext } from '${root}/edge-proxy/http/request/request-context.ts';
  import type { ClusterChoice, ForwardAction } from '${root}/edge-proxy/http/routing/route-table.ts';
  import type { FilterRun } from '${root}/edge-proxy/http/filters/filter-run.ts';
  import { isPermit, type Permit, runRequestHeads } from '${root}/edge-proxy/http/filters/permit.ts';
  export function use(run: FilterRun<ProxyRequest>, other: FilterRun<RequestContext>, request: ProxyRequest, exchange: RouterClient, config: RouterConfig, action: ForwardAction, choice: ClusterChoice, p?: Permit) {
    void [isPermit, runRequestHeads, run, other, p, request];
    ${body}
  }`;

/** Files with an error -> its code and text. */
async function compile(folder: string): Promise<Map<string, string>> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const output = await run(process.execPath, [tsc, '-p', folder]);
  const errors = new Map<string, string>();
  for (const [, file = '', error = ''] of (output.out + output.error).matchAll(
    /([^\s/]+\.ts)\(\d+,\d+\): error (.*(?:\n .*)*)/g,
  ))
    errors.set(file, error);
  return errors;
}

describe('the entrance of the router', () => {
  let folder: string;
  let errors: Map<string, string>;
  const names = Object.keys(PROGRAMS);
  const fileOf = (name: string) => `program${names.indexOf(name)}.ts`;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tulle-types-'));
    for (const [name, body] of Object.entries(PROGRAMS)) await writeFile(join(folder, fileOf(name)), source(body));
    const config = {
      extends: `${root}/tsconfig.json`,
      compilerOptions: { typeRoots: [`${root}/node_modules/@types`] },
      include: ['*.ts'],
    };
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    errors = await compile(folder);
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('takes what the chain let through, so that the others fail for their own reason', () => {
    expect([...errors.keys()].filter((file) => !/^program\d\.ts$/.test(file))).toEqual([]);
    expect(errors.get(fileOf('judged'))).toBeUndefined();
  });
  it.each([
    ['without a permit', /TS2554/],
    ['an object that looks like one', /TS2345[\s\S]*'judged'/],
    ['the answer of a chain that was not looked at', /TS2345[\s\S]*Stopped/],
    ['a permit made elsewhere', /TS1361|TS2693/],
    ['the permit of what is no request of ours', /TS2345/],
  ])('%s does not compile', (name, error) => expect(errors.get(fileOf(name)) ?? 'it compiles').toMatch(error));
});
