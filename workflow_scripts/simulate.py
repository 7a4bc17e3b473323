from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import SimulateConfig
    from liverstiff.simulate import simulate_site

    simulate_site(
        site=snakemake.wildcards.site,
        **paths(snakemake.output),
        config=SimulateConfig(**snakemake.params.settings),
    )
