/** Clips with adapters of every kind equal those of diffusers and PEFT with the same files. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { planLoras } from '../../lib/weights/loras.ts';
import { tinyEngine } from '../support/engine.ts';
import { REFERENCE_FOLDER } from '../support/family.ts';
import { requestOf, sampled } from '../support/fixture-request.ts';
import { loadFixture, loraFixtures } from '../support/load-fixture.ts';
import { assertClose } from '../support/tolerance.ts';

const TOLERANCE = 1e-4;

describe('clips with adapters equal those of diffusers and PEFT', () => {
  for (const name of loraFixtures()) {
    it(name, async () => {
      const fixture = loadFixture(name);
      const { engine, plan } = await tinyEngine({ motion: fixture.about.motion ?? undefined });
      const requests = fixture.about.adapters.map(({ file, scale }) => ({
        path: path.join(REFERENCE_FOLDER, file),
        scale,
        ignoreAlpha: false,
      }));
      const loras = await planLoras(requests, plan.plans);
      assert.deepEqual(loras.notices, []);
      for (const role of ['text_encoder', 'unet'] as const) {
        const recipes = plan.plans[role].recipes.flatMap((recipe) => {
          const terms = loras.terms[role].get(recipe.target);
          return terms === undefined || recipe.kind !== 'copy' ? [] : { ...recipe, terms };
        });
        await engine.rebind(role, recipes);
      }
      const { latents, pictures } = await engine.generate(requestOf(fixture));
      await engine.close();
      assert.ok(latents !== undefined && pictures !== undefined);
      assertClose(`${name}, latents`, latents.data, fixture.float32('latents.final'), TOLERANCE);
      const expected = fixture.float32('frames.sample');
      assertClose(`${name}, pictures`, sampled(pictures.data, fixture.about), expected, TOLERANCE);
    });
  }
});
