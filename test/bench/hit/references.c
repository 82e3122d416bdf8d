/* Miss ratios that others have measured, for the cells that bench_hit replays.
 *
 * LRU, SIEVE and S3-FIFO: libCacheSim (1a1a11a/libCacheSim, commit aa0fc409 of October 2024), its default parameters,
 * a capacity in objects of so many percent of the trace's distinct keys, rounded down. W-TinyLFU: a simulation of
 * Caffeine's policy with a window that is always a tenth; libCacheSim's has none in small caches. NONE: not measured.
 * */
#include "references.h"

#include <string.h>

#define NONE TT_HIT_NONE

static const struct {
    const char *trace;
    unsigned percent;
    double miss_ratio[TT_HIT_REFERENCES];
} cells[] = {
    { "arc_oltp", 1, { 0.5837, 0.5971, 0.5353, 0.5390 } },
    { "arc_oltp", 10, { 0.3348, 0.3334, 0.3222, 0.3430 } },
    { "arc_oltp", 25, { 0.2673, 0.2628, 0.2632, 0.2769 } },
    { "arc_p3", 1, { 0.9841, 0.9714, 0.9597, 0.9512 } },
    { "arc_p3", 10, { 0.8319, 0.7517, 0.6609, 0.6718 } },
    { "arc_p3", 25, { 0.4233, 0.4726, 0.4195, 0.4713 } },
    { "c2k_orm_busy", 1, { 0.2297, 0.2947, 0.2436, 0.2995 } },
    { "c2k_orm_busy", 10, { 0.1199, 0.1188, 0.1111, 0.1116 } },
    { "c2k_orm_busy", 25, { 0.0663, 0.0635, 0.0613, 0.0568 } },
    { "c2k_web12", 1, { 0.6030, 0.5975, 0.5900, 0.5987 } },
    { "c2k_web12", 10, { 0.3152, 0.2828, 0.2775, 0.2796 } },
    { "c2k_web12", 25, { 0.2231, 0.2095, 0.2054, 0.2085 } },
    { "cdn_adaptsize_sized", 1, { 0.7571, 0.7386, 0.7356, 0.7313 } },
    { "cdn_adaptsize_sized", 10, { 0.6581, 0.6250, 0.6256, 0.6280 } },
    { "cdn_adaptsize_sized", 25, { 0.6031, 0.5890, 0.5919, 0.5914 } },
    { "corda_vault", 1, { 0.6667, 0.9934, 0.6667, 0.6667 } },
    { "corda_vault", 10, { 0.6667, 0.9334, 0.6667, 0.6667 } },
    { "corda_vault", 25, { 0.6667, 0.8333, 0.6667, 0.6667 } },
    { "cp_io_sized", 1, { 0.8380, 0.8292, 0.8304, 0.8276 } },
    { "cp_io_sized", 10, { 0.8049, 0.7907, 0.7525, 0.7941 } },
    { "cp_io_sized", 25, { 0.6721, 0.6624, 0.6526, 0.6988 } },
    { "cp_w106", 1, { 0.2021, 0.1955, 0.1875, 0.1865 } },
    { "cp_w106", 10, { 0.0823, 0.0836, 0.0783, 0.0712 } },
    { "cp_w106", 25, { 0.0641, 0.0650, 0.0661, 0.0558 } },
    { "lirs_2pools", 1, { 0.7823, 0.5230, 0.5539, NONE } },
    { "lirs_2pools", 10, { 0.4562, 0.4568, 0.4565, NONE } },
    { "lirs_2pools", 25, { 0.3844, 0.3840, 0.3837, NONE } },
    { "lirs_glimpse", 1, { 0.9910, 0.9865, 0.9882, NONE } },
    { "lirs_glimpse", 10, { 0.9909, 0.9862, 0.9879, NONE } },
    { "lirs_glimpse", 25, { 0.9885, 0.9859, 0.7051, NONE } },
    { "lirs_loop", 1, { 1.0000, 1.0000, 1.0000, NONE } },
    { "lirs_loop", 10, { 1.0000, 1.0000, 1.0000, 0.9289 } },
    { "lirs_loop", 25, { 1.0000, 1.0000, 1.0000, 0.7834 } },
    { "lirs_multi1", 1, { 0.9897, 0.9443, 0.9343, NONE } },
    { "lirs_multi1", 10, { 0.5658, 0.5312, 0.5190, NONE } },
    { "lirs_multi1", 25, { 0.5276, 0.5049, 0.5091, NONE } },
    { "lirs_multi2", 1, { 0.9649, 0.9324, 0.9026, NONE } },
    { "lirs_multi2", 10, { 0.6308, 0.6384, 0.5070, NONE } },
    { "lirs_multi2", 25, { 0.5172, 0.4917, 0.4224, NONE } },
    { "lirs_multi3", 1, { 0.9486, 0.9242, 0.8519, 0.7749 } },
    { "lirs_multi3", 10, { 0.6451, 0.6265, 0.5472, 0.5423 } },
    { "lirs_multi3", 25, { 0.5549, 0.5338, 0.4492, 0.4132 } },
    { "lirs_sprite", 1, { 0.8367, 0.8071, 0.7876, 0.7682 } },
    { "lirs_sprite", 10, { 0.1352, 0.1848, 0.1386, 0.1830 } },
    { "lirs_sprite", 25, { 0.0675, 0.0838, 0.0743, 0.0926 } },
    { "scarab_recs", 1, { 0.6529, 0.5919, 0.5725, 0.5695 } },
    { "scarab_recs", 10, { 0.3940, 0.3909, 0.3718, 0.3917 } },
    { "scarab_recs", 25, { 0.2794, 0.2897, 0.2786, 0.3028 } },
};

double tt_hit_reference(const char *trace, unsigned percent, enum tt_hit_reference of)
{
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        if (cells[i].percent == percent && strcmp(cells[i].trace, trace) == 0)
            return cells[i].miss_ratio[of];
    return NONE;
}
