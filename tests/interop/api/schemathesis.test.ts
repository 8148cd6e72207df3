/**
 * The API does what its OpenAPI documents say, for requests that schemathesis makes of them, well-formed and not: no answer of 5xx,
 * none with a status, a media type or a body that the document does not describe.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApi } from '../../../control/api/openapi/openapi.ts';
import { kinds } from '../../../shared/resources/index.ts';
import { temporaryFolder } from '../../kit/environment.ts';
import { run } from '../../kit/process.ts';
import { PYTHON, pythonHas } from '../../kit/python.ts';
import { type KubectlApi, startKubectlApi } from '../kubectl/kubectl-api.ts';

const EXAMPLES = Number(process.env['TULLE_SCHEMATHESIS_EXAMPLES'] ?? 4);
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
];
const HOOKS = 'tests/interop/api/schemathesis-hooks.py';

/** Resources that requests can name, by the path of their collection. */
const KNOWN: Readonly<Record<string, object>> = {
  'api/v1/namespaces/default/services': {
    ...{ apiVersion: 'v1', kind: 'Service' },
    spec: { selector: { app: 'a' }, ports: [{ name: 'http', port: 80 }] },
  },
  'api/v1/namespaces/default/configmaps': { apiVersion: 'v1', kind: 'ConfigMap', data: { a: 'b' } },
  'apis/networking.istio.io/v1/namespaces/default/virtualservices': {
    ...{ apiVersion: 'networking.istio.io/v1', kind: 'VirtualService' },
    spec: { hosts: ['a'], http: [{ route: [{ destination: { host: 'a' } }] }] },
  },
  'apis/security.istio.io/v1/namespaces/default/authorizationpolicies': {
    ...{ apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy' },
    spec: { action: 'DENY', rules: [{ from: [{ source: { namespaces: ['b'] } }] }] },
  },
};

/** Other versions of a kind have the same schema. */
const documents = [...openApi(kinds.map((kind) => ({ ...kind, versions: kind.versions.slice(0, 1) }))).documents];

const present = pythonHas('schemathesis', 'schemathesis');

describe.skipIf(!present)('schemathesis', () => {
  const folder = temporaryFolder();
  let api: KubectlApi;
  beforeAll(async () => {
    api = await startKubectlApi();
    for (const [path, resource] of Object.entries(KNOWN)) {
      const body = JSON.stringify({ ...resource, metadata: { name: 'known' } });
      const headers = { 'content-type': 'application/json' };
      const { status } = await fetch(`${api.address}/${path}`, { method: 'POST', body, headers });
      expect(status).toBe(201);
    }
  });
  afterAll(() => {
    api?.stop();
    folder.dispose();
  });

  it.each(documents)('finds nothing wrong with %s', { timeout: 600_000 }, async (path, document) => {
    const file = join(folder.path, `${path.replaceAll('/', '-')}.json`);
    writeFileSync(file, document);
    const flags = ['--url', api.address, '--checks', CHECKS.join(), '--phases', 'fuzzing', '--warnings', 'off'];
    const limits = ['--max-examples', String(EXAMPLES), '--seed', '20261', '--no-color', '--request-timeout', '20'];
    const { code, out, error } = await run(PYTHON, ['-m', 'schemathesis.cli', 'run', file, ...flags, ...limits], {
      env: { SCHEMATHESIS_HOOKS: HOOKS },
      limitMs: 600_000,
    });
    expect(code, `${out}\n${error}`).toBe(0);
    expect(out).toMatch(/[1-9]\d* generated/);
  });
});
