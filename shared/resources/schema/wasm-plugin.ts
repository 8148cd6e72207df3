/** The schema of WasmPlugin's spec, field for field (istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin). */
import type { z } from 'zod';
import { selector, TrafficSelector, targetRef, targetRefs, VmConfig } from './common.ts';
import * as rules from './rules/rules.ts';
import { integer, list, nullable, object, oneOfNames, string, struct, withRules } from './vocabulary.ts';

/** Where a module comes from and how it runs: the same in TrafficExtension. */
export const wasmModule = {
  failStrategy: oneOfNames(['FAIL_CLOSE', 'FAIL_OPEN', 'FAIL_RELOAD']).describe(
    'When the plugin cannot be fetched or fails: FAIL_CLOSE answers 500, FAIL_OPEN continues without it, FAIL_RELOAD restarts it. Default: FAIL_CLOSE.',
  ),
  imagePullPolicy: oneOfNames(['UNSPECIFIED_POLICY', 'IfNotPresent', 'Always']).describe(
    'When the module is fetched. Default: IfNotPresent, Always for an image tagged latest.',
  ),
  imagePullSecret: string({ min: 1, max: 253 }).describe(
    'Secret with credentials of the registry, in the namespace of the resource; for oci URLs.',
  ),
  pluginConfig: struct().describe('Config the plugin is given, as JSON.'),
  pluginName: string({ min: 1, max: 256 }).describe('Name of the plugin (root id), passed to the module.'),
  sha256: string({ pattern: /(^$|^[a-f0-9]{64}$)/ }).describe(
    'SHA-256 of the module or image, in hex. Default: not checked.',
  ),
  type: oneOfNames(['UNSPECIFIED_PLUGIN_TYPE', 'HTTP', 'NETWORK']).describe(
    'HTTP filter or network filter. Default: HTTP.',
  ),
  url: withRules(string({ min: 1 }), rules.imageUrl).describe(
    'Where the module is: oci://, http://, https:// or file://. Without a scheme it is an image reference.',
  ),
  verificationKey: string().describe('Public key a signed image is verified with. Default: not verified.'),
  vmConfig: VmConfig.describe('The virtual machine the module runs in.'),
};

export const WasmPluginSpec = withRules(
  object(
    {
      failStrategy: wasmModule.failStrategy,
      imagePullPolicy: wasmModule.imagePullPolicy,
      imagePullSecret: wasmModule.imagePullSecret,
      match: list(TrafficSelector).describe('Traffic it sees, by direction and port; any entry matches. Default: all.'),
      phase: oneOfNames(['UNSPECIFIED_PHASE', 'AUTHN', 'AUTHZ', 'STATS']).describe(
        'Place in the filter chain: before the authentication, authorization or statistics filters of the mesh. Default: at the end, before the router.',
      ),
      pluginConfig: wasmModule.pluginConfig,
      pluginName: wasmModule.pluginName,
      priority: nullable(integer()).describe('Order within a phase, high first. Default: 0.'),
      selector,
      sha256: wasmModule.sha256,
      targetRef,
      targetRefs,
      type: wasmModule.type,
      url: wasmModule.url,
      verificationKey: wasmModule.verificationKey,
      vmConfig: wasmModule.vmConfig,
    },
    ['url'],
  ),
  rules.policyTarget,
);
export type WasmPluginSpec = z.infer<typeof WasmPluginSpec>;
