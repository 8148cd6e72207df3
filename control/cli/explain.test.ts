/** `tulle explain`. tests/interop/kubectl/kubectl-explain.test.ts compares it with kubectl. */
import { describe, expect, it } from 'vitest';
import { kinds } from '../../shared/resources/index.ts';
import { explain } from './explain.ts';

describe('tulle explain', () => {
  it('a field, its type, its rules and what is below it', () => {
    const out = explain('virtualservice.spec.http.match.uri');
    expect(out).toMatch(
      /^GROUP: {6}networking.istio.io\nKIND: {7}VirtualService\nVERSION: {4}v1\n\nFIELD: uri <Object>\n/,
    );
    expect(out).toContain('\nRULES:\n    only one of exact, prefix, regex may be set\n');
    expect(out).toMatch(/FIELDS:\n {2}exact\t<string>\n {4}\S.*\n\n {2}prefix\t<string>\n/);
  });

  it('names, limits, required fields and defaults', () => {
    const port = explain('se.spec.ports');
    expect(port).toContain('  name\t<string> -required-\n');
    expect(port).toContain('no two entries have the same name');
    expect(explain('dr.spec.trafficPolicy.tls.mode')).toContain('ENUM:\n    DISABLE\n    SIMPLE\n    MUTUAL\n');
    expect(explain('vs.spec.http.retries')).toMatch(/attempts\t<integer>\n[^\t]*Default: 2/);
    expect(explain('vs.spec.http.timeout')).toContain('a duration of at least 1ms');
    expect(explain('we.spec.ports')).toContain('FIELD: ports <map[string]integer>');
  });

  it('accepts every name of a kind and every served version', () => {
    for (const kind of kinds) {
      const same = [kind.plural, kind.singular, kind.kind, ...kind.shortNames].map((name) => explain(name));
      expect(new Set(same).size, kind.kind).toBe(1);
      for (const version of kind.versions) {
        const apiVersion = kind.group ? `${kind.group}/${version}` : version;
        expect(explain(kind.singular, { apiVersion })).toContain(`VERSION:    ${version}\n`);
      }
    }
  });

  it('knows the mesh config too', () => {
    expect(explain('meshconfig.defaultConfig')).toContain('FIELD: defaultConfig <Object>');
    expect(explain('meshnetworks.networks', { recursive: true })).toContain(
      '  endpoints\t<[]Object>\n    fromCidr\t<string>',
    );
  });

  it.each([
    ['virtualservise.spec', 'unknown kind "virtualservise" (did you mean "virtualservice"?)'],
    [
      'vs.spec.http.retires',
      'field "retires" does not exist in vs.spec.http (did you mean "retries"?): one of corsPolicy, ',
    ],
    ['vs.spec.hosts.name', 'field "name" does not exist: vs.spec.hosts is <[]string>, without fields'],
    ['vs.spec.http.__proto__', 'field "__proto__" does not exist'],
    ['', 'unknown kind ""'],
  ])('%s: %s', (path, message) => expect(() => explain(path)).toThrow(message));

  it('lists the served versions', () => {
    expect(() => explain('vs', { apiVersion: 'networking.istio.io/v9' })).toThrow('use networking.istio.io/v1, ');
    expect(() => explain('vs', { apiVersion: 'v1' })).toThrow('vs is not served as "v1"');
  });
});
