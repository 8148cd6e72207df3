/** kubectl prints from the API's OpenAPI documents what `tulle explain` prints. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain } from '../../../control/cli/explain.ts';
import { kubectlBinary } from '../../kit/command.ts';
import { run } from '../../kit/process.ts';
import { type KubectlApi, startKubectlApi } from './kubectl-api.ts';

if (!kubectlBinary) console.warn('skipped: kubectl is not on the PATH');

describe.skipIf(!kubectlBinary)('kubectl explain', () => {
  let api: KubectlApi;
  beforeAll(async () => {
    api = await startKubectlApi();
  });
  afterAll(() => api.stop());

  /** kubectl prints no rules; the rest is equal byte for byte. */
  const withoutRules = (text: string) => text.replace(/\nRULES:\n(?: {4}.*\n)+\n/g, '\n');

  it.each([
    ['vs.spec.http', {}],
    ['vs.spec.http.corsPolicy.unmatchedPreflights', {}],
    ['dr.spec.trafficPolicy.loadBalancer', {}],
    ['dr', { recursive: true }],
    ['wasmplugin', { apiVersion: 'extensions.istio.io/v1alpha1', recursive: true }],
    ['vs.metadata', { apiVersion: 'networking.istio.io/v1alpha3' }],
    ['we.spec.ports', {}],
    ['svc', { recursive: true }],
  ])('%s %j', async (path, options: { recursive?: boolean; apiVersion?: string }) => {
    const flags = [
      ...(options.recursive ? ['--recursive'] : []),
      ...(options.apiVersion ? ['--api-version', options.apiVersion] : []),
    ];
    const [kubectl, ...args] = api.command;
    const { out } = await run(kubectl, [...args, 'explain', path, ...flags]);
    expect(out).toBe(withoutRules(explain(path, options)));
  });
});
