import { describe, expect, it } from 'vitest';
import { parseMeshConfig } from './mesh-config.ts';

describe('how MeshConfig has access logs written', () => {
  const formatOf = (yaml: string) => parseMeshConfig(yaml).accessLogFormat;
  const TEXT = 'accessLogFormat: "%PROTOCOL% x"';

  it('is text unless it says JSON', () => {
    expect(formatOf('accessLogFile: /dev/stdout')).toBeUndefined();
    expect(formatOf(TEXT)).toEqual({ text: '%PROTOCOL% x\n' });
    expect(formatOf('accessLogFormat: "%PROTOCOL%\\n"')).toEqual({ text: '%PROTOCOL%\n' });
    expect(formatOf('accessLogEncoding: JSON')).toEqual({ json: true });
    const own = `accessLogEncoding: JSON\naccessLogFormat: '{"a": "%PROTOCOL%", "b": [1]}'`;
    expect(formatOf(own)).toEqual({ json: { a: '%PROTOCOL%', b: [1] } });
  });

  it("is Istio's default, with a warning, where a format cannot be used", () => {
    const text = 'accessLogFormat: "%NO_SUCH%"';
    expect(formatOf(text)).toBeUndefined();
    expect(parseMeshConfig(text).warnings?.join()).toContain('proxies cannot read %NO_SUCH%');
    const json = `accessLogEncoding: JSON\n${TEXT}`;
    expect(formatOf(json)).toEqual({ json: true });
    expect(parseMeshConfig(json).warnings?.join()).toContain('accessLogFormat: has no effect: is no JSON object');
  });
});
