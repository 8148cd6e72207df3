import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { kinds } from '../../../shared/resources/index.ts';
import { definitionOfKind, isCustom } from './custom-resource-definitions.ts';

interface Version {
  name: string;
  served: boolean;
  storage: boolean;
  subresources: object;
  additionalPrinterColumns?: { name: string; type: string; jsonPath: string }[];
  schema: { openAPIV3Schema: { properties: Record<string, unknown>; required?: string[] } };
}
interface Crd {
  metadata: { name: string };
  spec: { group: string; scope: string; names: Record<string, unknown>; versions: Version[] };
}

const file = fileURLToPath(new URL('../../../../shared/reference/istio-crds/crd-all.gen.yaml', import.meta.url));
if (!existsSync(file)) console.log("skipped: Istio's CRDs are not here");
const istios = existsSync(file)
  ? parseAllDocuments(readFileSync(file, 'utf8')).flatMap((each) => (each.toJS() as Crd | null) ?? [])
  : [];
const own = kinds.filter(isCustom).map((kind) => definitionOfKind(kind) as unknown as Crd);

/** Not compared: documentation, CEL, `nullable` (null is an absent field for every field here), and a `oneOf` of one, which forbids nothing. */
function structure(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(structure);
  if (typeof schema !== 'object' || schema === null) return schema;
  const kept = Object.entries(schema).filter(([key, value]) => {
    if ((key === 'description' || key === 'nullable') && typeof value !== 'object') return false;
    if (key === 'x-kubernetes-validations') return false;
    if (key === 'oneOf' && Array.isArray(value) && value.length === 2) return false;
    return !(key === 'format' && value === 'byte');
  });
  return Object.fromEntries(
    kept.map(([key, value]) => [key, key === 'required' ? [...(value as string[])].sort() : structure(value)]),
  );
}

describe('CustomResourceDefinitions', () => {
  it('have one stored version each, and no references', () => {
    expect(own.length).toBeGreaterThan(15);
    for (const crd of own) {
      expect(crd.spec.versions.filter(({ storage }) => storage)).toHaveLength(1);
      expect(JSON.stringify(crd)).not.toContain('"$ref"');
    }
  });

  it.skipIf(istios.length === 0).each(istios.map((crd) => [crd.metadata.name, crd] as const))(
    '%s is that of Istio: names, versions, columns, every field',
    (name, istio) => {
      const found = own.find((crd) => crd.metadata.name === name)!;
      expect(found.spec.scope).toBe(istio.spec.scope);
      expect(found.spec.names).toEqual(istio.spec.names);
      const brief = ({ name, served, storage, subresources }: Version) => ({ name, served, storage, subresources });
      const byName = (one: Version, other: Version) => one.name.localeCompare(other.name);
      expect(found.spec.versions.map(brief).sort(byName as never)).toEqual(
        istio.spec.versions.map(brief).sort(byName as never),
      );
      for (const version of istio.spec.versions) {
        const mine = found.spec.versions.find((one) => one.name === version.name)!;
        const columns = mine.additionalPrinterColumns?.map(({ jsonPath, type }) => `${jsonPath} ${type}`);
        for (const { jsonPath, type } of version.additionalPrinterColumns ?? [])
          expect(columns).toContain(`${jsonPath} ${type}`);
        const { properties, required } = mine.schema.openAPIV3Schema;
        const schema = version.schema.openAPIV3Schema;
        expect(structure(properties['spec'])).toEqual(structure(schema.properties['spec']));
        expect(required).toEqual(schema.required);
      }
    },
  );
});
