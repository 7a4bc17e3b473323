from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import SimulateConfig
    from liverstiff.simulate import simulate_atlases

    simulate_atlases(
        **paths(snakemake.output),
        config=SimulateConfig(**snakemake.params.settings),
    )
