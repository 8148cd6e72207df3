import { meshSuite } from './suite.ts';

meshSuite('deno');
